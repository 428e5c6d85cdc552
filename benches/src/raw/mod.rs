//! Loops that an expert would write by hand against the client library, each the best version of itself.

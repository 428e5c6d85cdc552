//! Whom the program around names; a file without imports, because every part of the pages knows it.

/// Who sends a request, said by the layer of a program that nests these pages: put it into the request's extensions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedIn(pub String);

//! Other job systems, run as processes of their own with their documented fast settings.

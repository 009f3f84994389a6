//! Secrets in logs, files and processes.

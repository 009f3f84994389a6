//! Web pages and browsers at the callback.

//! Clients before their login, hostile ones.

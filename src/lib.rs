//! emailproxy: user + password on a local port, OAuth2 at the provider.
//!
//! A client that knows only user and password talks plain SMTP, IMAP or POP3 to a local port. emailproxy turns that
//! login into a SASL XOAUTH2 or OAUTHBEARER login at the provider, with a token it obtains, refreshes and guards, and
//! then gets out of the way.
//!
//! # Rooms
//!
//! | room | duty |
//! | --- | --- |
//! | [`commands`] | what a person can type; the only room that prints |
//! | [`config`] | ini text to proven values |
//! | [`session`] | one client connection from accept to last byte (read this first) |
//! | [`protocol`] | what is said on the wire; knows no accounts |
//! | [`wire`] | how bytes travel: bounded, timed, upgradable to TLS |
//! | [`accounts`] | who may log in and which token they get |
//! | [`oauth`] | how a provider is asked for a token |
//! | [`providers`] | what is known about providers, as data |
//! | [`web`] | the browser's side: the consent's return, the page for people, what is told to machines |
//! | [`control`] | the owner-only socket by which commands ask the running proxy |
//! | [`refusal`], [`said`], [`secret`], [`meter`], `lookup` | leaves anybody may use |
//!
//! Imports go one way; `docs/ARCHITECTURE.md` has the table and `tests/floor_plan.rs` holds it.

#![warn(clippy::expect_used)]

pub mod accounts;
pub mod commands;
pub mod config;
pub mod control;
mod lookup;
pub mod meter;
pub mod oauth;
pub mod protocol;
pub mod providers;
pub mod refusal;
pub mod said;
pub mod secret;
pub mod session;
pub mod web;
pub mod wire;

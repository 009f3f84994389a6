//! For the fuzzer alone: a whole session over any pipe, and what stands before one. No other program is built with this.

use std::net::SocketAddr;

use super::proxy_header::{self, First};
use super::{Desk, Visit, serve};
use crate::protocol::Dialogue;
use crate::wire::{Lost, Wire};

/// Attends to one client as its port would.
pub async fn attend<D: Dialogue>(client: Wire, desk: &Desk) -> Result<(), Lost> {
    let at = SocketAddr::from(([127, 0, 0, 1], 1993));
    let from = SocketAddr::from(([127, 0, 0, 1], 40_000));
    let mut visit = Visit::begin(D::NAME, at, from, false, &desk.service);
    let Some(mut seat) = desk.seats.take(desk.most) else {
        return Ok(());
    };
    let ended = serve::<D>(client, desk, &mut seat, &mut visit).await;
    visit.end(&ended, desk.accounts.meters());
    ended
}

/// Takes a PROXY header: the client it names, nobody, or why there is none.
pub async fn proxy_header(wire: &mut Wire) -> Result<Option<SocketAddr>, &'static str> {
    match proxy_header::hear(wire).await {
        First::Client(client) => Ok(Some(client)),
        First::Nobody => Ok(None),
        First::Silence => Err("silence"),
        First::NoHeader(why) => Err(why),
    }
}

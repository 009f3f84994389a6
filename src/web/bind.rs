//! From addresses to listening sockets, for returns and for the page. What comes in is not looked at here.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener as StdListener};

use tokio::net::TcpListener;
use tracing::warn;

use super::place::Spot;
use crate::config::WebOptions;

/// The page's sockets, bound.
#[derive(Debug)]
pub struct PageSockets {
    /// One for each address.
    pub(super) listeners: Vec<StdListener>,
    /// The first of them.
    pub address: SocketAddr,
}

/// Binds the page's address, both loopbacks where it is one of them. One that the file names must be had; without the usual
/// one there is no page, and the log says so.
pub fn bind_page(options: &WebOptions) -> Result<Option<PageSockets>, String> {
    let Some(wanted) = options.listen else {
        return Ok(None);
    };
    let bound = StdListener::bind(wanted).and_then(|listener| {
        let address = listener.local_addr()?;
        Ok((listener, address))
    });
    let (listener, address) = match bound {
        Ok(bound) => bound,
        Err(error) if options.is_named => {
            return Err(format!(
                "web: could not listen at {wanted}: {error}; name another address, or say web = off"
            ));
        }
        Err(error) => {
            warn!(
                "there is no page: could not listen at its usual address {wanted}: {error}; say web = 127.0.0.1:PORT in [emailproxy] for another one, or web = off"
            );
            return Ok(None);
        }
    };
    let mut listeners = vec![listener];
    let other = match wanted.ip() {
        IpAddr::V4(Ipv4Addr::LOCALHOST) => Some(IpAddr::V6(Ipv6Addr::LOCALHOST)),
        IpAddr::V6(Ipv6Addr::LOCALHOST) => Some(IpAddr::V4(Ipv4Addr::LOCALHOST)),
        _ => None,
    };
    if let Some(other) = other {
        let other = SocketAddr::new(other, address.port());
        match StdListener::bind(other) {
            Ok(listener) => listeners.push(listener),
            Err(error) if is_taken(&error) => warn!(
                "another program listens at {other}; a browser that goes there by the name localhost may find it in the page's place"
            ),
            // A machine without that family.
            Err(_) => {}
        }
    }
    Ok(Some(PageSockets { listeners, address }))
}

/// Binds an address, both loopbacks where it stands for them. One of several is enough.
pub(super) async fn bind(spot: &Spot, ready: &[StdListener]) -> Result<Vec<TcpListener>, String> {
    let mut listeners = Vec::new();
    for ready in ready {
        if ready.local_addr().is_ok_and(|at| at.port() == spot.port) {
            let taken = ready.try_clone().and_then(|listener| {
                listener.set_nonblocking(true)?;
                TcpListener::from_std(listener)
            });
            listeners.extend(taken);
        }
    }
    if !listeners.is_empty() {
        return Ok(listeners);
    }
    let mut refused = None;
    for address in spot.addresses().await? {
        match TcpListener::bind(address).await {
            Ok(listener) => listeners.push(listener),
            Err(error) => {
                // What another program holds says more than that a machine has no IPv6.
                if is_taken(&error) || refused.is_none() {
                    refused = Some((address, error));
                }
            }
        }
    }
    match refused {
        Some((address, error)) if listeners.is_empty() => Err(explain(address, &error)),
        Some((address, error)) if is_taken(&error) => {
            warn!(
                "{}; a browser that goes there finds the other program",
                explain(address, &error)
            );
            Ok(listeners)
        }
        _ => Ok(listeners),
    }
}

fn is_taken(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::AddrInUse
}

/// Words a failed bind with what to do.
fn explain(address: SocketAddr, error: &io::Error) -> String {
    let advice = match error.kind() {
        io::ErrorKind::AddrInUse => {
            "another program listens there: stop it, or set `redirect_uri` to a free port"
        }
        io::ErrorKind::PermissionDenied => {
            "ports below 1024 need a privilege: set `redirect_uri` to a higher port, such as \
             http://localhost:8825, here and at the provider"
        }
        io::ErrorKind::AddrNotAvailable => {
            "this machine does not have that address: set `redirect_listen_address` to one it has"
        }
        _ => "set `redirect_listen_address` to an address that can be listened at",
    };
    format!("could not listen at {address}: {error}; {advice}")
}

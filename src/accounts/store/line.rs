//! One connection to a service, shared by all who ask it something, and made again when it broke.
//!
//! Knows no service. A connection that gave anything but a good answer, or none in time, is hung up.

use std::sync::Mutex;

use super::backend::Doing;
use crate::accounts::locked;

/// A connection that may be there.
#[derive(Debug)]
pub(super) struct Line<C> {
    held: Mutex<Option<C>>,
    /// Held while dialling, so that a crowd makes one connection.
    dialling: tokio::sync::Mutex<()>,
}

impl<C> Default for Line<C> {
    fn default() -> Self {
        Self {
            held: Mutex::new(None),
            dialling: tokio::sync::Mutex::default(),
        }
    }
}

impl<C: Clone> Line<C> {
    /// Asks something over the connection, which `dial` makes where there is none. What fails on a connection that was
    /// there before is asked once more on a new one: the old one may have died unnoticed. So `ask` must be fit to be
    /// done twice.
    pub(super) async fn ask<'a, T>(
        &self,
        dial: impl Fn() -> Doing<'a, C>,
        ask: impl Fn(C) -> Doing<'a, T>,
    ) -> Result<T, String> {
        loop {
            let (connection, is_new) = self.connection(&dial).await?;
            let call = Call(Some(self));
            match ask(connection).await {
                Ok(answer) => {
                    call.went_well();
                    return Ok(answer);
                }
                Err(why) if is_new => return Err(why),
                Err(_) => {}
            }
        }
    }

    /// Returns the connection, and whether it was made just now.
    async fn connection<'a>(&self, dial: &impl Fn() -> Doing<'a, C>) -> Result<(C, bool), String> {
        if let Some(held) = locked(&self.held).clone() {
            return Ok((held, false));
        }
        let _dialling = self.dialling.lock().await;
        if let Some(held) = locked(&self.held).clone() {
            return Ok((held, true));
        }
        let made = dial().await?;
        *locked(&self.held) = Some(made.clone());
        Ok((made, true))
    }
}

/// A call under way. Unless it is known to have gone well, the line is hung up, even if nobody waits any more.
struct Call<'a, C>(Option<&'a Line<C>>);

impl<C> Call<'_, C> {
    fn went_well(mut self) {
        self.0 = None;
    }
}

impl<C> Drop for Call<'_, C> {
    fn drop(&mut self) {
        if let Some(line) = self.0 {
            locked(&line.held).take();
        }
    }
}

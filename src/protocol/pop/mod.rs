//! To be built.

use super::{
    Dialogue, Farewell, Heard, Identity, Local, Login, Lost, Opened, Refusal, StartTls, Welcome,
    Wire,
};

/// To be built.
#[derive(Debug)]
pub struct Pop;
impl Dialogue for Pop {
    const NAME: &'static str = "x";
    fn new() -> Self {
        Self
    }
    async fn greet(&mut self, _: &mut Wire, _: &Local<'_>) -> Result<(), Lost> {
        Ok(())
    }
    async fn hear(&mut self, _: &mut Wire, _: &Local<'_>) -> Result<Heard, Lost> {
        Err(Lost::Closed)
    }
    async fn refuse(&mut self, _: &mut Wire, _: &Login, _: &Refusal) -> Result<(), Lost> {
        Ok(())
    }
    async fn farewell(_: &mut Wire, _: Farewell) -> Result<(), Lost> {
        Ok(())
    }
    async fn open(&self, _: Wire, _: Option<StartTls<'_>>) -> Result<Opened, Refusal> {
        Err(Refusal::Busy)
    }
    async fn authenticate(
        &self,
        _: &mut Opened,
        _: Identity<'_>,
        _: &Login,
    ) -> Result<Welcome, Refusal> {
        Err(Refusal::Busy)
    }
    async fn leave(_: Wire) {}
}

//! To be built.

/// To be built.
pub async fn serve_callbacks(
    _accounts: std::sync::Arc<crate::accounts::Accounts>,
    stop: impl Future<Output = ()>,
) {
    stop.await;
}

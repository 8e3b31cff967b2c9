//! What a service tells systemd, where that wants to know.

use sd_notify::NotifyState;

/// Tells it.
pub(crate) fn notify(state: NotifyState<'_>) {
    if let Err(error) = sd_notify::notify(&[state]) {
        tracing::warn!("systemd cannot be told: {error}");
    }
}

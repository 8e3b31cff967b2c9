//! The flags that say where the coordinator is and how to get in, the same for clients and workers.

use std::path::PathBuf;

use clap::Args;
use poolmap_client::Client;
use poolmap_proto::access::Role;
use poolmap_proto::transport::Route;

use crate::exit::Failure;

/// Which coordinator.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Coordinator")]
pub(crate) struct ConnectFlags {
    /// Get in with this access file [default: that of the variable `POOLMAP_ACCESS`, else that of this user's coordinator
    /// on this machine]
    #[arg(long, value_name = "FILE", conflicts_with = "connect")]
    access: Option<PathBuf>,

    /// Reach a coordinator that was started with --insecure
    #[arg(long, value_name = "http://127.0.0.1:PORT", requires = "insecure")]
    connect: Option<String>,

    /// Speak in the clear, with a coordinator on this machine
    #[arg(long, requires = "connect")]
    insecure: bool,
}

impl ConnectFlags {
    /// Connects as a client.
    pub(crate) async fn client(&self) -> Result<Client, Failure> {
        let transport = self.route(Role::Client)?.connect().await;
        Ok(Client::new(transport.map_err(|error| Failure::Lost(error.to_string()))?))
    }

    /// The way to the coordinator for this role.
    pub(crate) fn route(&self, role: Role) -> Result<Route, Failure> {
        let route = match &self.connect {
            Some(url) => Route::plain(url),
            None => Route::of_access_file(self.access.clone(), role),
        };
        route.map_err(|error| Failure::Usage(error.to_string()))
    }
}

/// Runs a command that does nothing but wait.
pub(crate) fn blocking<T>(command: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(Failure::system("starting"))?.block_on(command)
}

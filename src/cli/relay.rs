//! `tollgate relay`: inside a guest, redirected TCP and DNS to the host.

use std::process::ExitCode;

use super::Failure;
use crate::guest::netlink;
use crate::guest::redirect::{Rules, Scope, Tool};
use crate::guest::relay::{CONNECTIONS, Options, Relay, To};

/// Carry a guest's redirected TCP and DNS to a proxy on the host
///
/// Runs inside a VM or container whose TCP and DNS are redirected to its port (see `tollgate redirect`). Each connection
/// goes to the host with a PROXY v2 header that says where it was going and which process it belongs to; names are
/// answered under the host's policy. On the host: a listener with `proxy_header = true`.
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Examples:
  tollgate relay --to vsock://2:5002 --capture         in a VM without a network card (Firecracker, qemu, …)
  tollgate relay --to unix:///run/tollgate/guest.sock  in a container with the host's socket mounted")]
pub struct Args {
    /// Where the host listens, such as `vsock://2:5002` or `unix:///run/tollgate/guest.sock`
    #[arg(long, value_name = "ADDR")]
    to: To,
    /// The port that TCP and DNS are redirected to
    #[arg(long, value_name = "PORT", default_value_t = 15001)]
    port: u16,
    /// Capture this whole network: loopback up, every address local, TCP and DNS redirected here, the rest refused. For a
    /// guest whose only way out is this relay
    #[arg(long)]
    capture: bool,
    /// Connections carried at once; past it they wait
    #[arg(long, value_name = "N", default_value_t = CONNECTIONS)]
    connections: usize,
}

/// Runs until it is ended.
pub fn run(args: Args) -> Result<ExitCode, Failure> {
    let to = args.to.to_string();
    let options = Options { port: args.port, to: args.to, connections: args.connections };
    if args.capture {
        netlink::prepare().map_err(|error| Failure::failed(error.to_string()))?; // ::1 is there only after this
    }
    let relay = Relay::bind(&options)
        .map_err(|error| Failure::failed(format!("cannot listen on port {}: {error}", args.port)))?;
    if args.capture {
        let rules = Rules { scope: Scope::Namespace, port: relay.port() };
        Tool::find()?.install(rules)?;
    }
    println!("relaying port {} to {to}", relay.port());
    let Err(error) = relay.run();
    Err(Failure::failed(format!("the relay ended: {error}")))
}

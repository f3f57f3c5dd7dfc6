//! `tollgate jail` (hidden): the processes that `run` puts between itself and a command. See [`crate::guest::jail`].

use std::env;
use std::ffi::OsString;
use std::fs;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::thread;

use clap::Subcommand;

use super::Failure;
use crate::cert::authority::Paths;
use crate::cert::environment::{self, Environment, Source};
use crate::cert::{Bundle, bundle, facts};
use crate::guest::jail::{self, JailError, Plan, mounts, supervise, users};
use crate::guest::probe;

/// Internal: a process of a jail
#[derive(clap::Args, Debug)]
pub struct Args {
    #[command(subcommand)]
    process: Process,
}

#[derive(Subcommand, Debug)]
enum Process {
    /// Network, mounts and the relay
    Outer(Inside),
    /// Users and processes
    Inner(Inside),
    /// Process 1
    Init(Inside),
    /// Maps the users of another process
    Map {
        /// Whose.
        pid: u32,
    },
}

#[derive(clap::Args, Debug)]
struct Inside {
    /// The plan, as JSON
    plan: String,
    /// The command and its arguments
    #[arg(last = true, required = true)]
    command: Vec<OsString>,
}

/// What a shell says of a command that is there but cannot be run, and of one that is not there.
const NOT_RUNNABLE: u8 = 126;
const NOT_FOUND: u8 = 127;

/// Runs the process; its exit code is the command's.
pub fn run(args: Args) -> Result<ExitCode, Failure> {
    match args.process {
        Process::Outer(inside) => outer(&inside),
        Process::Inner(inside) => inner(&inside),
        Process::Init(inside) => init(&inside),
        Process::Map { pid } => {
            users::map_other(pid)
                .map_err(|error| Failure::failed(format!("users cannot be mapped: {error}")))?;
            Ok(ExitCode::SUCCESS)
        }
    }
}

fn outer(inside: &Inside) -> Result<ExitCode, Failure> {
    let plan = inside.plan()?;
    let sockets = fs::read_to_string("/proc/self/net/unix").unwrap_or_default();
    jail::leave_host()?;
    let relay = jail::capture(&plan)?;
    let found = furnish(&plan, &sockets)?;
    found.notices.iter().for_each(|notice| eprintln!("tollgate: {notice}"));
    thread::Builder::new()
        .name("relay".to_owned())
        .spawn(move || {
            let Err(error) = relay.run();
            eprintln!("tollgate: the relay ended: {error}");
        })
        .map_err(|error| Failure::failed(error.to_string()))?;
    let mut command = inside.again("inner")?;
    supervised(command.envs(found.variables))
}

/// Mounts what the command is to see, and says what is to be set.
fn furnish(plan: &Plan, sockets: &str) -> Result<Environment, Failure> {
    let ca_pem = facts::certificate_text(&Paths::in_dir(&plan.state_dir).cert)?;
    let mut roots = Bundle::system();
    roots.add(&ca_pem);
    let public = mounts::fresh_run(runtime_dir(plan))?;
    let path = public.join(bundle::FILE);
    bundle::write_to(&path, &roots)?;
    let source = Source { path: &path, bundle: &roots, ca_pem: &ca_pem };
    let found = environment::prepare(&public.join("trust"), source, &|name| env::var_os(name))?;
    mounts::name_server(&public)?;
    mounts::roots(&path, bundle::system_files())?;
    let hidden = plan.hidden.iter().map(PathBuf::as_path).chain([plan.state_dir.as_path()]);
    mounts::hide(&hidden.collect::<Vec<&Path>>())?;
    mounts::seal(&plan.sealed)?;
    mounts::hide_sockets(sockets)?;
    mounts::hide_disks()?;
    Ok(found)
}

fn runtime_dir(plan: &Plan) -> Option<(PathBuf, u32, u32)> {
    let (uid, gid) = match &plan.user {
        Some(user) => (user.uid, user.gid),
        None => (nix::unistd::geteuid().as_raw(), nix::unistd::getegid().as_raw()),
    };
    env::var_os("XDG_RUNTIME_DIR").map(|dir| (dir.into(), uid, gid))
}

fn inner(inside: &Inside) -> Result<ExitCode, Failure> {
    jail::leave_outer(&inside.plan()?)?;
    supervised(&mut inside.again("init")?)
}

fn init(inside: &Inside) -> Result<ExitCode, Failure> {
    let plan = inside.plan()?;
    let mut signals = supervise::signals().map_err(|error| Failure::failed(error.to_string()))?;
    jail::settle(&plan)?;
    probe::prove(&plan)?;
    let (program, arguments) = inside.command.split_first().expect("clap requires one");
    let mut command = Command::new(program);
    command.args(arguments);
    if let Some(user) = &plan.user {
        command.env("HOME", &user.home).env("USER", &user.name).env("LOGNAME", &user.name);
    }
    match command.spawn() {
        Ok(child) => supervise::wait(&child, &mut signals)
            .map(ExitCode::from)
            .map_err(|error| Failure::failed(error.to_string())),
        Err(error) => {
            let code = if error.kind() == std::io::ErrorKind::NotFound { NOT_FOUND } else { NOT_RUNNABLE };
            Err(Failure { code, message: format!("{}: {error}", program.display()) })
        }
    }
}

fn supervised(command: &mut Command) -> Result<ExitCode, Failure> {
    supervise::run(command)
        .map_err(|error| Failure::failed(format!("a process of the jail cannot start: {error}")))
}

impl Inside {
    fn plan(&self) -> Result<Plan, Failure> {
        serde_json::from_str(&self.plan)
            .map_err(|error| Failure::usage(format!("this command is internal: {error}")))
    }

    /// This program again as the next process.
    fn again(&self, process: &str) -> Result<Command, Failure> {
        let program = env::current_exe().map_err(|error| Failure::failed(error.to_string()))?;
        let mut command = Command::new(program);
        command.arg0("tollgate").args(["jail", process, &self.plan, "--"]).args(&self.command);
        Ok(command)
    }
}

impl From<JailError> for Failure {
    fn from(error: JailError) -> Self {
        Self::failed(error.to_string())
    }
}

//! `tollgate run`: a command in a jail whose only way out is a proxy of its own.
//!
//! The proxy runs in this process, the jail in its children. The capture is proved before the proxy takes the socket
//! over from the probe's witness, and the command starts after that; nothing of ours goes to standard output.

mod status;
mod summary;

use std::ffi::OsString;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::DirBuilderExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode};
use std::thread;
use std::time::Duration;

use nix::sys::resource::{Resource, getrlimit};
use nix::unistd::Pid;
use signal_hook::consts::SIGCHLD;
use signal_hook::iterator::Signals;

use super::Failure;
use crate::cert::{Authority, bundle};
use crate::config::{self, Admin, Listen, ListenAddress, Overrides, Settings};
use crate::guest::jail::{self, Plan, User, supervise};
use crate::guest::probe::{Ready, Witness};
use crate::reactor::wall_clock;
use crate::service::{Identity, Service};
use status::Show;
use summary::Summary;

/// Run a command whose every connection is captured, judged and recorded
///
/// The command gets namespaces of its own: no network but loopback and the proxy, TCP and DNS captured, everything else
/// refused, the CA trusted without configuration. It keeps the terminal, its working directory, environment, signals
/// and exit code. Works without privilege where the kernel allows user namespaces. The capture is proved before the
/// command starts; otherwise it does not start.
///
/// A command that root starts runs as root unless --user names somebody else. It has no right over the kernel, other
/// processes, disks or networks, but keeps root's access to this machine's files, and could leave something in them
/// that runs outside of the jail later; a notice says so.
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Examples:
  tollgate run -- claude -p 'explain this repository'
  tollgate run --policy agents.toml --name nightly -- make test
  sudo tollgate run --user builder --json-summary s.json -- npm ci

Exit codes: the command's own; 126 and 127 if it cannot be run; 1 if the jail cannot be built; 2 for usage.")]
pub struct Args {
    /// The user's policy, in place of the configuration's
    #[arg(long, value_name = "FILE")]
    policy: Option<PathBuf>,
    /// The corporate policy, which stands above the user's
    #[arg(long, value_name = "FILE")]
    corp_policy: Option<PathBuf>,
    /// Configuration file, the same as for `serve`; its listeners are not used
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// A name for this session in the ledger
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// Run the command as this user (root only)
    #[arg(long, value_name = "USER")]
    user: Option<String>,
    /// Write the summary to this file as one JSON document
    #[arg(long, value_name = "FILE")]
    json_summary: Option<PathBuf>,
    /// Where a terminal shows requests, denials, tokens and cost while the command runs
    #[arg(long, value_enum, default_value_t = Show::Title)]
    status: Show,
    /// Say nothing but errors
    #[arg(long, short)]
    quiet: bool,
    /// Where the CA, its bundle, the ledger and the keys lie
    #[arg(long, value_name = "DIR")]
    state_dir: Option<PathBuf>,
    /// The ledger's SQLite file
    #[arg(long, value_name = "FILE")]
    db: Option<PathBuf>,
    /// The command and its arguments
    #[arg(last = true, required = true, value_name = "COMMAND")]
    command: Vec<OsString>,
}

/// Runs the command; its exit code is ours.
pub fn run(args: &Args) -> Result<ExitCode, Failure> {
    let mut settings = settings(args)?;
    let user = args.user.as_deref().map(find_user).transpose()?;
    if !args.quiet {
        root_notice(user.as_ref());
    }
    let report = args.json_summary.as_deref().map(writable).transpose()?;
    prepare_state(&settings)?;
    let session = SessionDir::make(&settings.state_dir)?;
    let socket = session.path.join("guest.sock");
    settings.listen = vec![Listen { address: ListenAddress::Unix(socket.clone()), proxy_header: true }];
    let plan = Plan {
        token: token()?,
        open_files: open_files()?,
        hidden: hidden(&settings),
        sealed: sealed(&settings, args.config.as_deref()),
        state_dir: settings.state_dir.clone(),
        host_network: jail::network(),
        caller: (nix::unistd::geteuid().as_raw(), nix::unistd::getegid().as_raw()),
        socket,
        user,
    };
    let mut signals = supervise::signals().map_err(failed("cannot take signals"))?;
    let witness = Witness::bind(&plan.socket, &plan.token).map_err(failed("cannot listen for the probe"))?;
    let mut jailed = start(&plan, &args.command)?;
    let Some(ready) = proved(witness, &mut jailed, &mut signals)? else {
        let status = jailed.wait().map_err(failed("the jail"))?;
        return Ok(ExitCode::from(supervise::code(status))); // it has said why
    };
    let identity = Identity { name: args.name.clone(), command: Some(words(&args.command)) };
    let service = Service::start(settings, identity, &mut notice).map_err(|error| {
        drop(jailed.kill());
        Failure::failed(error.to_string())
    })?;
    ready.go().map_err(failed("the jail"))?;
    let mut summary = Summary::new(&service, args.quiet, args.status);
    let code = attend(&mut jailed, &mut signals, &mut summary)?;
    finish(service, &mut summary, report)?;
    Ok(ExitCode::from(code))
}

fn failed<E: std::fmt::Display>(what: &str) -> impl FnOnce(E) -> Failure + '_ {
    move |error| Failure::failed(format!("{what}: {error}"))
}

fn notice(line: &str) {
    eprintln!("tollgate: {line}");
}

fn settings(args: &Args) -> Result<Settings, Failure> {
    let overrides = Overrides {
        state_dir: args.state_dir.clone(),
        db: args.db.clone(),
        user_policy: args.policy.clone(),
        corp_policy: args.corp_policy.clone(),
        ..Overrides::default()
    };
    let mut settings = config::load(args.config.as_deref(), &overrides)
        .map_err(|error| Failure::failed(error.to_string()))?;
    settings.state_dir = std::path::absolute(&settings.state_dir).map_err(failed("the state directory"))?;
    settings.telemetry.db = std::path::absolute(&settings.telemetry.db).map_err(failed("the ledger"))?;
    refuse_open_admin(&settings)?;
    Ok(settings)
}

/// A socket crosses network namespaces by its path, and the admin socket asks for no token.
fn refuse_open_admin(settings: &Settings) -> Result<(), Failure> {
    match &settings.admin {
        Some(Admin { address: ListenAddress::Unix(path), .. }) if !path.starts_with(&settings.state_dir) => {
            Err(Failure::failed(format!(
                "the command could reach the admin socket {}: put it into the state directory, which is hidden from it",
                path.display()
            )))
        }
        _ => Ok(()),
    }
}

/// The files of the proxy that do not lie in its state directory.
fn hidden(settings: &Settings) -> Vec<PathBuf> {
    let db = settings.telemetry.db.clone();
    let beside = ["-wal", "-shm"].map(|end| PathBuf::from(format!("{}{end}", db.display())));
    let token = settings.admin.as_ref().map(|admin| admin.token_file.clone());
    let all = std::iter::once(db).chain(beside).chain(token);
    all.filter(|path| !path.starts_with(&settings.state_dir)).collect()
}

/// What the next run reads, which this one's command must not write.
fn sealed(settings: &Settings, config: Option<&Path>) -> Vec<PathBuf> {
    let policies = [settings.policy.user.as_deref(), settings.policy.corp.as_deref()];
    let all = policies.into_iter().chain([config]).flatten();
    all.filter_map(|file| std::path::absolute(file).ok()).collect()
}

/// Who runs a command as root should know that they do. `--user root` says so, and is not told.
fn root_notice(user: Option<&User>) {
    if user.is_none() && nix::unistd::geteuid().is_root() {
        let whom = std::env::var("SUDO_USER").unwrap_or_else(|_| "NAME".to_owned());
        notice(&format!(
            "the command runs as root, with root's access to this machine's files; --user {whom} runs it as an \
             ordinary user"
        ));
    }
}

fn find_user(name: &str) -> Result<User, Failure> {
    if !nix::unistd::geteuid().is_root() {
        return Err(Failure::usage("--user needs root"));
    }
    let found = nix::unistd::User::from_name(name).map_err(failed("--user"))?;
    let found = found.ok_or_else(|| Failure::usage(format!("--user {name}: no such user")))?;
    Ok(User { name: found.name, uid: found.uid.as_raw(), gid: found.gid.as_raw(), home: found.dir })
}

/// The CA must be there before the jail is: its certificate is what the command is to trust.
fn prepare_state(settings: &Settings) -> Result<(), Failure> {
    let dir = &settings.state_dir;
    DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(failed(&dir.display().to_string()))?;
    let authority = Authority::open_or_create(dir, wall_clock())?;
    bundle::write(dir, authority.cert_pem())?;
    Ok(())
}

/// A directory that nobody else can enter, and that goes with us. What a crash left behind is removed by the next run.
struct SessionDir {
    path: PathBuf,
}

impl SessionDir {
    fn make(state_dir: &Path) -> Result<Self, Failure> {
        let all = state_dir.join("run");
        remove_dead(&all);
        let path = all.join(std::process::id().to_string());
        let made = DirBuilder::new().recursive(true).mode(0o700).create(&path);
        made.map_err(failed(&path.display().to_string()))?;
        Ok(Self { path })
    }
}

impl Drop for SessionDir {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.path); // the next run tries again
    }
}

fn remove_dead(all: &Path) {
    for entry in fs::read_dir(all).into_iter().flatten().flatten() {
        let alive = Path::new("/proc").join(entry.file_name()).exists();
        if !alive {
            let _ = fs::remove_dir_all(entry.path()); // another run may be doing the same
        }
    }
}

/// 128 random bits in hexadecimal digits.
fn token() -> Result<String, Failure> {
    let text = fs::read_to_string("/proc/sys/kernel/random/uuid").map_err(failed("no random number"))?;
    Ok(text.trim().replace('-', ""))
}

/// The soft limit that the command would have without us.
fn open_files() -> Result<u64, Failure> {
    let (soft, _) = getrlimit(Resource::RLIMIT_NOFILE).map_err(failed("the limit of open files"))?;
    Ok(soft)
}

fn words(command: &[OsString]) -> Vec<String> {
    command.iter().map(|word| word.to_string_lossy().into_owned()).collect()
}

fn start(plan: &Plan, command: &[OsString]) -> Result<Child, Failure> {
    let program = std::env::current_exe().map_err(failed("our own program"))?;
    let plan = serde_json::to_string(plan).map_err(failed("the plan of the jail"))?;
    let mut outer = Command::new(program);
    outer.arg0("tollgate").args(["jail", "outer", &plan, "--"]).args(command);
    outer.spawn().map_err(failed("the jail cannot start"))
}

/// Waits until the jail has proved its capture; `None` if it ended first.
fn proved(mut witness: Witness, jailed: &mut Child, signals: &mut Signals) -> Result<Option<Ready>, Failure> {
    loop {
        match witness.turn() {
            Ok(Some(ready)) => return Ok(Some(ready)),
            Ok(None) => {}
            Err(error) => {
                drop(jailed.kill());
                return Err(Failure::failed(format!("the capture was not proved: {error}")));
            }
        }
        if jailed.try_wait().map_err(failed("the jail"))?.is_some() {
            return Ok(None);
        }
        pass_on(signals, jailed);
        thread::sleep(Duration::from_millis(1));
    }
}

/// Waits for the command's end, and shows what happens meanwhile.
fn attend(jailed: &mut Child, signals: &mut Signals, summary: &mut Summary) -> Result<u8, Failure> {
    loop {
        if let Some(status) = jailed.try_wait().map_err(failed("the jail"))? {
            return Ok(supervise::code(status));
        }
        pass_on(signals, jailed);
        summary.show();
        thread::sleep(Duration::from_millis(10));
    }
}

fn pass_on(signals: &mut Signals, jailed: &Child) {
    for signal in signals.pending().filter(|signal| *signal != SIGCHLD) {
        supervise::pass(signal, Pid::from_raw(jailed.id().cast_signed()));
    }
}

/// Opened before the proxy is confined to its own files, and before anything runs whose summary would be lost.
fn writable(path: &Path) -> Result<File, Failure> {
    let opened = OpenOptions::new().write(true).create(true).truncate(true).open(path);
    opened.map_err(failed(&path.display().to_string()))
}

fn finish(service: Service, summary: &mut Summary, report: Option<File>) -> Result<(), Failure> {
    service.cut();
    service.finish().map_err(|error| Failure::failed(error.to_string()))?;
    let text = summary.finish()?;
    if let Some(mut report) = report {
        report.write_all(text.as_bytes()).map_err(failed("--json-summary"))?;
    }
    Ok(())
}

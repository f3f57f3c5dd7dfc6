//! `tollgate run` before an origin of the test's own, as each user that we can be.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use rusqlite::Connection;
use tempfile::TempDir;

use super::certs::{Authority, Flaw};
use super::origin::{Origin, response};
use super::tools::{program, skipped};

const NOBODY: u32 = 65_534;

const POLICY: &str = r#"
[network]
default = "deny"
allow = ["ok.test"]

[[http]]
name = "no secrets"
host = "ok.test"
paths = ["/secret"]
action = "deny"
reason = "not for guests"

[[http]]
host = "ok.test"
action = "allow"
"#;

/// An origin for `ok.test`, and what `run` needs to reach it, in a directory that the caller owns.
pub struct Stage {
    dir: TempDir,
    /// Answers every request for `ok.test` with `hello`.
    pub origin: Origin,
    /// Whose jails are built.
    pub uid: u32,
}

impl Stage {
    /// For the jails of one user.
    pub fn new(uid: u32) -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let authority = Authority::new(dir.path());
        let origin = Origin::answering(authority.server("ok.test", Flaw::None), &response(200, "", b"hello"));
        let config = format!(
            "state_dir = \"{}\"\n[upstream]\nextra_ca_files = [\"{}\"]\n[upstream.map]\n\"ok.test:443\" = \"{}\"\n",
            dir.path().join("own/state").display(),
            authority.file().display(),
            origin.address()
        );
        let own = dir.path().join("own");
        fs::create_dir(&own).expect("a directory");
        fs::write(dir.path().join("tollgate.toml"), config).expect("a writable directory");
        fs::write(dir.path().join("user.toml"), POLICY).expect("a writable directory");
        for path in [dir.path(), authority.file()] {
            fs::set_permissions(path, fs::Permissions::from_mode(0o755)).expect("our own file");
        }
        chown(&own, Some(uid), Some(uid)).expect("root, or ourselves");
        Self { dir, origin, uid }
    }

    /// A path in the stage's directory; `own` in it belongs to the user.
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// `tollgate run` with this stage's configuration.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = self.tollgate();
        command.arg("run").arg("--config").arg(self.path("tollgate.toml"));
        command.arg("--policy").arg(self.path("user.toml")).args(arguments);
        command
    }

    /// The built binary, run as the stage's user in its own directory.
    pub fn tollgate(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tollgate"));
        command.current_dir(self.path("own")).stdin(Stdio::null());
        if self.uid != nix::unistd::geteuid().as_raw() {
            command.uid(self.uid).gid(self.uid);
        }
        command
    }

    /// Runs `tollgate run` to its end.
    pub fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().expect("the built binary")
    }

    /// Runs a shell script in the jail.
    pub fn sh(&self, script: &str) -> Said {
        let output = self.run(&["-q", "--", "bash", "-c", script]);
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Said { code: output.status.code(), stdout: text(&output.stdout), stderr: text(&output.stderr) }
    }

    /// One column of the ledger, all rows.
    pub fn column(&self, sql: &str) -> Vec<String> {
        let ledger = Connection::open(self.path("own/state/ledger.db")).expect("a ledger");
        let mut statement = ledger.prepare(sql).expect("SQL");
        let rows = statement.query_map([], |row| row.get::<_, Option<String>>(0)).expect("rows");
        rows.map(|row| row.expect("a text").unwrap_or_default()).collect()
    }
}

/// How a command ended and what it said.
#[derive(Debug)]
pub struct Said {
    /// `None`: a signal ended it.
    pub code: Option<i32>,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

/// Runs a test as each user that we can be, and whose kernel builds jails.
pub fn as_each_user(test: impl Fn(&Stage)) {
    let ours = nix::unistd::geteuid().as_raw();
    let users = if ours == 0 { vec![0, NOBODY] } else { vec![ours] };
    if program("curl").is_none() || program("bash").is_none() {
        return;
    }
    for uid in users {
        let stage = Stage::new(uid);
        let tried = stage.sh("true");
        if tried.code == Some(0) {
            test(&stage);
        } else {
            skipped::<()>(&format!("a kernel that builds jails for user {uid}: {}", tried.stderr));
        }
    }
}

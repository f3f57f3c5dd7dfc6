//! Other people's clients. A test that needs one that is not here says so and is skipped; with
//! `TOLLGATE_REQUIRE_TOOLS=1` it fails instead.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::Mutex;

/// One SDK installation at a time.
static INSTALLING: Mutex<()> = Mutex::new(());

/// A program on the PATH.
pub fn program(name: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let found = env::split_paths(&path).map(|dir| dir.join(name)).find(|file| file.is_file());
    found.or_else(|| skipped(name))
}

/// A Python with the SDKs and HTTP clients of `tests/clients/requirements.txt`, in a virtual environment under `target`.
pub fn python_with_sdks() -> Option<PathBuf> {
    let python = program("python3")?;
    let place = place("python");
    let interpreter = place.join("bin/python");
    let wanted = clients().join("requirements.txt");
    let install = || {
        run(Command::new(python).args(["-m", "venv", "--clear"]).arg(&place))?;
        run(Command::new(&interpreter).args(["-m", "pip", "install", "--quiet", "-r"]).arg(&wanted))
    };
    installed(&place, &wanted, "the Python SDKs", install).then_some(interpreter)
}

/// A directory with `node_modules` of `tests/clients/package.json` and our scripts, under `target`; and Node.
pub fn node_with_sdks() -> Option<(PathBuf, PathBuf)> {
    let node = program("node")?;
    let npm = program("npm")?;
    let place = place("node");
    let wanted = clients().join("package.json");
    let install = || {
        fs::create_dir_all(&place).map_err(|error| error.to_string())?;
        fs::copy(&wanted, place.join("package.json")).map_err(|error| error.to_string())?;
        run(Command::new(npm).args(["install", "--silent", "--no-audit", "--no-fund"]).current_dir(&place))
    };
    let ready = installed(&place, &wanted, "the Node SDKs", install);
    if ready {
        // Node looks for packages beside the script, so the scripts go to the packages.
        for script in ["node_sdks.mjs", "node_http.mjs", "node_websocket.mjs"] {
            fs::copy(clients().join(script), place.join(script)).expect("a writable directory");
        }
    }
    ready.then_some((node, place))
}

/// What a client wrote to its stdout; panics with its stderr where it failed.
pub fn said(command: &mut Command) -> String {
    let output = output(command);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?} ended with {}: {stderr}", output.status);
    String::from_utf8(output.stdout).expect("UTF-8")
}

/// Where the client scripts lie.
pub fn clients() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients")
}

/// Runs a client to its end; its environment is ours without any proxy or CA setting.
pub fn output(command: &mut Command) -> Output {
    for name in [
        "HTTPS_PROXY",
        "https_proxy",
        "HTTP_PROXY",
        "http_proxy",
        "ALL_PROXY",
        "all_proxy",
        "NO_PROXY",
        "no_proxy",
    ] {
        if command.get_envs().all(|(set, _)| set != name) {
            command.env_remove(name);
        }
    }
    command.stdin(Stdio::null()).output().expect("a program that starts")
}

/// Says that a test is skipped, or fails it where every tool is required.
pub fn skipped<T>(needs: &str) -> Option<T> {
    assert!(env::var_os("TOLLGATE_REQUIRE_TOOLS").is_none_or(|value| value != "1"), "needs {needs}");
    eprintln!("skipped: needs {needs}");
    None
}

fn place(language: &str) -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("clients").join(language)
}

/// Installs once for each state of the list of wanted packages.
fn installed(place: &Path, wanted: &Path, what: &str, install: impl FnOnce() -> Result<(), String>) -> bool {
    let _one_at_a_time = INSTALLING.lock();
    let stamp = place.join("installed");
    let wanted = fs::read(wanted).expect("the list of packages");
    if fs::read(&stamp).is_ok_and(|had| had == wanted) {
        return true;
    }
    match install() {
        Ok(()) => fs::write(stamp, wanted).is_ok(),
        Err(why) => skipped::<()>(&format!("{what}, which cannot be installed: {why}")).is_some(),
    }
}

fn run(command: &mut Command) -> Result<(), String> {
    let output = command.stdin(Stdio::null()).output().map_err(|error| error.to_string())?;
    if output.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&output.stderr).into_owned()) }
}

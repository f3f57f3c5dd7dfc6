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
    required("the Python SDKs", installed(&place, &wanted, install))?;
    Some(interpreter)
}

/// A directory with `node_modules` of `tests/clients/package.json` and our scripts, under `target`; and Node.
pub fn node_with_sdks() -> Option<(PathBuf, PathBuf)> {
    node_with("node", &clients(), &["node_sdks.mjs", "node_http.mjs", "node_websocket.mjs"])
}

/// A directory under `target` with `node_modules` of the `package.json` that lies beside some scripts, and copies of
/// the scripts; and Node.
pub fn node_with(name: &str, from: &Path, scripts: &[&str]) -> Option<(PathBuf, PathBuf)> {
    let node = program("node")?;
    let npm = program("npm")?;
    let place = place(name);
    let wanted = from.join("package.json");
    required("packages for Node", installed(&place, &wanted, || npm_install(&npm, &wanted, &place)))?;
    // Node looks for packages beside the script, so the scripts go to the packages.
    for script in scripts {
        fs::copy(from.join(script), place.join(script)).expect("a writable directory");
    }
    Some((node, place))
}

/// The directory of the agents' programs (`tests/clients/agents/package.json`), under `target`. They are large and
/// change often, so they are never required.
pub fn agents() -> Option<PathBuf> {
    let npm = program("npm")?;
    let place = place("agents");
    let wanted = clients().join("agents/package.json");
    match installed(&place, &wanted, || npm_install(&npm, &wanted, &place)) {
        Ok(()) => Some(place.join("node_modules/.bin")),
        Err(why) => {
            eprintln!("skipped: the agents cannot be installed: {why}");
            None
        }
    }
}

fn npm_install(npm: &Path, wanted: &Path, place: &Path) -> Result<(), String> {
    fs::create_dir_all(place).map_err(|error| error.to_string())?;
    fs::copy(wanted, place.join("package.json")).map_err(|error| error.to_string())?;
    run(Command::new(npm).args(["install", "--silent", "--no-audit", "--no-fund"]).current_dir(place))
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
fn installed(
    place: &Path,
    wanted: &Path,
    install: impl FnOnce() -> Result<(), String>,
) -> Result<(), String> {
    let _one_at_a_time = INSTALLING.lock();
    let stamp = place.join("installed");
    let wanted = fs::read(wanted).expect("the list of packages");
    if fs::read(&stamp).is_ok_and(|had| had == wanted) {
        return Ok(());
    }
    install()?;
    fs::write(stamp, wanted).map_err(|error| error.to_string())
}

fn required(what: &str, installed: Result<(), String>) -> Option<()> {
    installed.map_or_else(|why| skipped(&format!("{what}, which cannot be installed: {why}")), Some)
}

fn run(command: &mut Command) -> Result<(), String> {
    let output = command.stdin(Stdio::null()).output().map_err(|error| error.to_string())?;
    if output.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&output.stderr).into_owned()) }
}

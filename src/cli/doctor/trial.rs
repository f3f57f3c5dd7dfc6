//! A trial jail: built as `run` builds them, around this doctor, before an origin of the doctor's own.

use std::fs;
use std::io::{self, BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::thread;
use std::time::Duration;

use super::Check;
use crate::demo::place::Place;

const HOST: &str = "doctor.tollgate.test";
const MEND: &str = "`tollgate run` will not start commands here";
/// Between the first line of the slow page and its last.
const PAUSE: Duration = Duration::from_millis(300);

/// Whether a jail can be built, and what is seen from inside it.
pub(super) fn checks() -> Vec<Check> {
    match run() {
        Ok(output) => read(&output),
        Err(error) => vec![Check::bad("jail", error.to_string(), MEND)],
    }
}

fn run() -> io::Result<Output> {
    let place = Place::new()?;
    let origin = origin()?;
    let config = place.join("tollgate.toml");
    fs::write(place.join("user.toml"), format!("[network]\nallow = [\"{HOST}\"]\n"))?;
    fs::write(&config, settings(&place.join("state"), &place.join("user.toml"), origin))?;
    Command::new(std::env::current_exe()?)
        .args(["run", "--quiet", "--config"])
        .arg(&config)
        .arg("--")
        .arg(std::env::current_exe()?)
        .args(["doctor", "--json", "--place", "guest", "--url", &format!("http://{HOST}/")])
        .args(["--stream", &format!("http://{HOST}/slow")])
        .stdin(Stdio::null())
        .output()
}

fn settings(state: &Path, policy: &Path, origin: SocketAddr) -> String {
    format!(
        "state_dir = {state:?}\n[policy]\nuser = {policy:?}\n[upstream.map]\n\"{HOST}:80\" = \"{origin}\"\n"
    )
}

/// The checks from inside, or why there are none.
fn read(output: &Output) -> Vec<Check> {
    #[derive(serde::Deserialize)]
    struct Document {
        checks: Vec<Check>,
    }
    match serde_json::from_slice::<Document>(&output.stdout) {
        Ok(Document { mut checks }) => {
            for check in &mut checks {
                check.name.insert_str(0, "jail ");
            }
            checks
        }
        Err(_) => vec![Check::bad("jail", String::from_utf8_lossy(&output.stderr).trim(), MEND)],
    }
}

/// Answers every request with two lines, for a slow page with a pause between them.
fn origin() -> io::Result<SocketAddr> {
    let listener = TcpListener::bind(("127.0.0.1", 0))?;
    let address = listener.local_addr()?;
    thread::Builder::new().name("origin".to_owned()).spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let _ = answer(stream); // the check says what the page looked like
        }
    })?;
    Ok(address)
}

fn answer(mut stream: TcpStream) -> io::Result<()> {
    let mut request = String::new();
    let mut from = BufReader::new(stream.try_clone()?);
    while from.read_line(&mut request)? > 2 {}
    stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 12\r\nConnection: close\r\n\r\nfirst\n")?;
    if request.starts_with("GET /slow ") {
        thread::sleep(PAUSE);
    }
    stream.write_all(b"last.\n")
}

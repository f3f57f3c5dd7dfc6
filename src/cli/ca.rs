//! `tollgate ca`: make the certificate authority, show it, and make tools trust it.

use std::env;
use std::fmt::Write as _;
use std::path::PathBuf;

use clap::{Subcommand, ValueEnum};
use serde_json::{Map, Value, json};

use super::Failure;
use crate::cert::authority::Paths;
use crate::cert::environment::{self, Environment, Source};
use crate::cert::{Authority, CertError, bundle, facts};
use crate::config::default_state_dir;
use crate::policy::host::Host;
use crate::reactor::wall_clock;

/// Make, show and spread the certificate authority that guests trust
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Examples:
  tollgate ca init                                   make a CA (serve and run do so by themselves)
  tollgate ca init --name-constraint example.com     one that can vouch for example.com and below only
  eval \"$(tollgate ca env)\"                          make this shell's tools trust it
  tollgate ca bundle --output /tmp/roots.pem         the system's roots and ours, for anything else
  openssl verify -CAfile \"$(tollgate ca show --path)\" leaf.pem")]
pub struct Args {
    #[command(subcommand)]
    action: Action,
    /// Where `ca.crt` and `ca.key` lie [default: `$XDG_STATE_HOME/tollgate`, else `/var/lib/tollgate` for
    /// root, else `~/.local/state/tollgate`]
    #[arg(long, global = true, value_name = "DIR")]
    state_dir: Option<PathBuf>,
}

#[derive(Subcommand, Debug)]
enum Action {
    /// Make a CA; an existing one is never overwritten
    Init {
        /// Only for this domain and what is below it (repeatable); addresses are then excluded
        #[arg(long, value_name = "DOMAIN")]
        name_constraint: Vec<String>,
        /// Print one JSON document
        #[arg(long)]
        json: bool,
    },
    /// Show the CA, and whether it can be used (exit code 1 if not)
    Show {
        /// Print the certificate itself
        #[arg(long, conflicts_with_all = ["json", "path"])]
        pem: bool,
        /// Print the path of the certificate alone
        #[arg(long, conflicts_with = "json")]
        path: bool,
        /// Print one JSON document; times are Unix seconds
        #[arg(long)]
        json: bool,
    },
    /// Print the system's roots and ours as one PEM file, and renew `bundle.crt` in the state directory
    Bundle {
        /// Write it there and print nothing
        #[arg(long, value_name = "FILE")]
        output: Option<PathBuf>,
    },
    /// Print what to set so that curl, git, Python, Node, Go, Java and the like trust the CA
    ///
    /// Files that variables name already are merged into new ones below `trust/` in the state directory. What
    /// cannot be merged is said on stderr.
    Env {
        /// In which language
        #[arg(long, value_enum, default_value_t = Shell::Sh)]
        shell: Shell,
    },
}

#[derive(ValueEnum, Clone, Copy, Debug)]
enum Shell {
    /// `export NAME='value'`, for sh, bash, zsh
    Sh,
    /// `set -gx NAME 'value'`
    Fish,
    /// One object
    Json,
}

/// Runs the command.
pub fn run(args: Args) -> Result<(), Failure> {
    let dir = args
        .state_dir
        .map_or_else(default_state_dir, Ok)
        .map_err(|error| Failure::usage(error.to_string()))?;
    let paths = Paths::in_dir(&dir);
    match args.action {
        Action::Init { name_constraint, json } => {
            let permitted = name_constraint.iter().map(|text| domain(text)).collect::<Result<Vec<_>, _>>()?;
            Authority::create(&dir, &permitted, wall_clock())?;
            show(&paths, json)
        }
        Action::Show { pem: true, .. } => {
            print!("{}", facts::certificate_text(&paths.cert)?);
            Ok(())
        }
        Action::Show { path: true, .. } => {
            println!("{}", paths.cert.display());
            Ok(())
        }
        Action::Show { json, .. } => show(&paths, json),
        Action::Bundle { output } => print_bundle(&paths, output),
        Action::Env { shell } => print_environment(&paths, shell),
    }
}

fn show(paths: &Paths, as_json: bool) -> Result<(), Failure> {
    let facts = facts::of_file(&paths.cert)?;
    let problem = Authority::open(paths, wall_clock()).err().map(|error| error.to_string());
    if as_json {
        let document = json!({
            "subject": facts.subject, "fingerprint_sha256": facts.fingerprint_text(),
            "not_before": facts.not_before, "not_after": facts.not_after,
            "name_constraints": facts.constraints, "cert": paths.cert, "key": paths.key,
            "usable": problem.is_none(), "problem": problem,
        });
        println!("{document}");
    } else {
        let constraints =
            if facts.constraints.is_empty() { "any name".to_owned() } else { facts.constraints.join(", ") };
        println!("subject      {}", facts.subject);
        println!("sha256       {}", facts.fingerprint_text());
        println!("valid from   {}", facts::date(facts.not_before));
        println!("valid until  {}", facts::date(facts.not_after));
        println!("vouches for  {constraints}");
        println!("certificate  {}", paths.cert.display());
        println!("key          {}", paths.key.display());
    }
    problem.map_or(Ok(()), |text| Err(Failure::failed(text)))
}

fn print_bundle(paths: &Paths, output: Option<PathBuf>) -> Result<(), Failure> {
    let (_, bundle) = bundle::write(parent(paths), &facts::certificate_text(&paths.cert)?)?;
    match output {
        Some(file) => bundle::write_to(&file, &bundle)?,
        None => print!("{}", bundle.as_str()),
    }
    Ok(())
}

fn print_environment(paths: &Paths, shell: Shell) -> Result<(), Failure> {
    let dir = std::path::absolute(parent(paths)).map_err(|error| Failure::failed(error.to_string()))?;
    let ca_pem = facts::certificate_text(&paths.cert)?;
    let (path, bundle) = bundle::write(&dir, &ca_pem)?;
    let source = Source { path: &path, bundle: &bundle, ca_pem: &ca_pem };
    let found = environment::prepare(&dir.join("trust"), source, &|name| env::var_os(name))?;
    for notice in &found.notices {
        eprintln!("tollgate: {notice}");
    }
    println!("{}", in_shell(&found, shell));
    Ok(())
}

fn in_shell(found: &Environment, shell: Shell) -> String {
    let mut text = String::new();
    match shell {
        Shell::Json => {
            let object = found.variables.iter().map(|(name, value)| ((*name).to_owned(), json!(value)));
            return Value::Object(object.collect::<Map<_, _>>()).to_string();
        }
        Shell::Sh => {
            for (name, value) in &found.variables {
                let _ = writeln!(text, "export {name}='{}'", value.replace('\'', r"'\''")); // to a String: cannot fail
            }
        }
        Shell::Fish => {
            for (name, value) in &found.variables {
                let _ =
                    writeln!(text, "set -gx {name} '{}'", value.replace('\\', r"\\").replace('\'', r"\'"));
            }
        }
    }
    text.pop();
    text
}

fn domain(text: &str) -> Result<Host, Failure> {
    let name = text.trim_start_matches("*.").trim_start_matches('.');
    match Host::from_unicode(name) {
        Ok(host) if host.ip().is_none() => Ok(host),
        Ok(_) => Err(Failure::usage(format!("--name-constraint {text}: an address is no domain"))),
        Err(error) => Err(Failure::usage(format!("--name-constraint {text}: {error}"))),
    }
}

fn parent(paths: &Paths) -> &std::path::Path {
    paths.cert.parent().expect("Paths::in_dir joins a file name to a directory")
}

impl From<CertError> for Failure {
    fn from(error: CertError) -> Self {
        Self::failed(error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_quoted_for_each_shell() {
        let found = Environment { variables: vec![("A", r"it's a\b".to_owned())], notices: Vec::new() };
        for (shell, expected) in [
            (Shell::Sh, r"export A='it'\''s a\b'"),
            (Shell::Fish, r"set -gx A 'it\'s a\\b'"),
            (Shell::Json, r#"{"A":"it's a\\b"}"#),
        ] {
            assert_eq!(in_shell(&found, shell), expected);
        }
    }

    #[test]
    fn a_constraint_is_a_domain() {
        assert!(domain(".Example.com").is_ok_and(|host| host.as_str() == "example.com"));
        assert!(domain("*.example.com").is_ok_and(|host| host.as_str() == "example.com"));
        for bad in ["10.0.0.1", "::1", "a b", ""] {
            assert!(domain(bad).is_err_and(|failure| failure.code == 2), "{bad}");
        }
    }
}

//! How each runtime is told to trust our CA: environment variables, and the files that some of them name.
//!
//! What a user had set is merged, never dropped (LESSONS 34): a variable that named a file gets a file with
//! those certificates and the bundle's. It reads the environment through a function and changes none.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use super::{Bundle, CertError, facts, file, truststore};

/// Variables that name a PEM file, and who listens to them.
/// Variables that name a PEM file, and who reads them.
pub const PEM_FILE: [&str; 12] = [
    "SSL_CERT_FILE",                    // OpenSSL, Go, rustls-native-certs, Ruby, PHP
    "CURL_CA_BUNDLE",                   // curl, requests
    "REQUESTS_CA_BUNDLE",               // Python requests
    "PIP_CERT",                         // pip
    "NODE_EXTRA_CA_CERTS",              // Node
    "npm_config_cafile",                // npm; beats Node's
    "GIT_SSL_CAINFO",                   // git, over OpenSSL and GnuTLS
    "CARGO_HTTP_CAINFO",                // cargo
    "AWS_CA_BUNDLE",                    // aws, boto
    "DENO_CERT",                        // deno
    "CODEX_CA_CERTIFICATE",             // Codex
    "GRPC_DEFAULT_SSL_ROOTS_FILE_PATH", // gRPC
];

const SYSTEM_DIR: &str = "/etc/ssl/certs";

/// What to set, and what a person should know.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Environment {
    /// Names and values, in a stable order.
    pub variables: Vec<(&'static str, String)>,
    /// Settings that could not be merged, as sentences.
    pub notices: Vec<String>,
}

/// The bundle that variables should name: [`super::bundle::write`] made it.
#[derive(Clone, Copy, Debug)]
pub struct Source<'a> {
    /// Where it lies.
    pub path: &'a Path,
    /// What it holds.
    pub bundle: &'a Bundle,
    /// Our CA certificate alone, PEM.
    pub ca_pem: &'a str,
}

/// Writes the files that are needed below `dir` (made if missing) and says what to set. `existing` gives the
/// present value of a variable; `HOME` is asked for too. Doing it again with the result set gives the same
/// result.
pub fn prepare(
    dir: &Path,
    source: Source<'_>,
    existing: &dyn Fn(&str) -> Option<OsString>,
) -> Result<Environment, CertError> {
    file::make_dir(dir)?;
    let mut plan = Plan { dir, source, existing, found: Environment::default() };
    for name in PEM_FILE {
        plan.pem_file(name)?;
    }
    plan.certificate_dir()?;
    plan.wget()?;
    plan.java()?;
    Ok(plan.found)
}

struct Plan<'a> {
    dir: &'a Path,
    source: Source<'a>,
    existing: &'a dyn Fn(&str) -> Option<OsString>,
    found: Environment,
}

impl Plan<'_> {
    fn pem_file(&mut self, name: &'static str) -> Result<(), CertError> {
        let path = match self.present(name).map(PathBuf::from) {
            Some(theirs) if theirs != self.source.path => self.merged(name, &theirs)?,
            _ => self.source.path.to_owned(),
        };
        self.set(name, &path);
        Ok(())
    }

    /// A file with the bundle's certificates and theirs; the bundle itself where theirs adds nothing.
    fn merged(&mut self, name: &str, theirs: &Path) -> Result<PathBuf, CertError> {
        let Ok(text) = std::fs::read_to_string(theirs) else {
            self.notice(format!("{name} named {}, which cannot be read", theirs.display()));
            return Ok(self.source.path.to_owned());
        };
        let mut bundle = self.source.bundle.clone();
        if bundle.add(&text) == 0 {
            return Ok(self.source.path.to_owned());
        }
        self.keep(name, ".crt", bundle.as_str().as_bytes())
    }

    /// A directory as OpenSSL wants it (the file's name is a hash of the subject) before theirs or the
    /// system's.
    fn certificate_dir(&mut self) -> Result<(), CertError> {
        let ours = self.dir.join("certs");
        file::make_dir(&ours)?;
        let link = ours.join(format!("{:08x}.0", facts::subject_hash(self.source.ca_pem)?));
        file::write_if_changed(&link, self.source.ca_pem.as_bytes(), file::PUBLIC)?;
        let ours = ours.display().to_string();
        let theirs = self.present("SSL_CERT_DIR").unwrap_or_else(|| SYSTEM_DIR.to_owned());
        let others = theirs.split(':').filter(|dir| *dir != ours);
        let value = std::iter::once(ours.as_str()).chain(others).collect::<Vec<_>>().join(":");
        self.found.variables.push(("SSL_CERT_DIR", value));
        Ok(())
    }

    /// wget knows no variable for certificates, but one for its settings; theirs stay, ours is the last line.
    fn wget(&mut self) -> Result<(), CertError> {
        let ours = format!("ca_certificate = {}", self.source.path.display());
        let home = || self.present("HOME").map(|home| Path::new(&home).join(".wgetrc"));
        let theirs = self.present("WGETRC").map(PathBuf::from).or_else(home);
        let theirs = theirs.and_then(|path| std::fs::read_to_string(path).ok()).unwrap_or_default();
        let kept = theirs.lines().filter(|line| *line != ours);
        let text: String = kept.chain([ours.as_str()]).flat_map(|line| [line, "\n"]).collect();
        let path = self.keep("wgetrc", "", text.as_bytes())?;
        self.set("WGETRC", &path);
        Ok(())
    }

    fn java(&mut self) -> Result<(), CertError> {
        const VARIABLE: &str = "JAVA_TOOL_OPTIONS";
        let store = self.dir.join("java.jks");
        file::write_if_changed(&store, &truststore::jks(self.source.bundle.certificates()), file::PUBLIC)?;
        let ours = java_options(&store);
        let value = match self.present(VARIABLE) {
            Some(theirs) if theirs.contains(&ours) => theirs,
            Some(theirs) if theirs.contains("-Djavax.net.ssl.trustStore=") => {
                self.notice(format!(
                    "{VARIABLE} names a trust store of its own; import ca.crt there with keytool"
                ));
                theirs
            }
            Some(theirs) => format!("{theirs} {ours}"),
            None => ours,
        };
        self.found.variables.push((VARIABLE, value));
        Ok(())
    }

    /// Writes a file whose name follows from its content, so that two sessions never change each other's.
    fn keep(&self, name: &str, suffix: &str, content: &[u8]) -> Result<PathBuf, CertError> {
        let digest = facts::sha256(content);
        let id = u32::from_be_bytes([digest[0], digest[1], digest[2], digest[3]]);
        let path = self.dir.join(format!("{name}-{id:08x}{suffix}"));
        file::write_if_changed(&path, content, file::PUBLIC)?;
        Ok(path)
    }

    fn present(&self, name: &str) -> Option<String> {
        (self.existing)(name).and_then(|value| value.into_string().ok()).filter(|value| !value.is_empty())
    }

    fn set(&mut self, name: &'static str, path: &Path) {
        self.found.variables.push((name, path.display().to_string()));
    }

    fn notice(&mut self, text: String) {
        self.found.notices.push(text);
    }
}

/// The JVM splits the variable at spaces and honours quotes.
fn java_options(store: &Path) -> String {
    let store = store.display().to_string();
    let quote = if store.contains(char::is_whitespace) { "\"" } else { "" };
    format!(
        "{quote}-Djavax.net.ssl.trustStore={store}{quote} -Djavax.net.ssl.trustStoreType=jks \
         -Djavax.net.ssl.trustStorePassword={}",
        truststore::PASSWORD
    )
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use std::collections::HashMap;
    use std::fs;

    use super::*;
    use crate::cert::authority::tests::NOW;
    use crate::cert::{Authority, bundle};

    struct Bench {
        dir: tempfile::TempDir,
        path: PathBuf,
        bundle: Bundle,
        ca_pem: String,
    }

    fn bench() -> Bench {
        let dir = tempfile::tempdir().unwrap();
        let ca_pem = Authority::open_or_create(dir.path(), NOW).unwrap().cert_pem().to_owned();
        let (path, bundle) = bundle::write(dir.path(), &ca_pem).unwrap();
        Bench { dir, path, bundle, ca_pem }
    }

    impl Bench {
        fn prepare(&self, existing: &[(&str, &str)]) -> Environment {
            let existing: HashMap<&str, &str> = existing.iter().copied().collect();
            let source = Source { path: &self.path, bundle: &self.bundle, ca_pem: &self.ca_pem };
            let lookup = |name: &str| existing.get(name).map(OsString::from);
            prepare(&self.dir.path().join("trust"), source, &lookup).unwrap()
        }

        fn file(&self, name: &str, content: &str) -> String {
            let path = self.dir.path().join(name);
            fs::write(&path, content).unwrap();
            path.display().to_string()
        }
    }

    fn value<'a>(found: &'a Environment, name: &str) -> &'a str {
        &found.variables.iter().find(|(other, _)| *other == name).unwrap().1
    }

    #[test]
    fn lesson_34_every_runtime_is_told_once() {
        let bench = bench();
        let found = bench.prepare(&[]);
        for name in PEM_FILE {
            assert_eq!(value(&found, name), bench.path.display().to_string());
        }
        let wgetrc = fs::read_to_string(value(&found, "WGETRC")).unwrap();
        assert_eq!(wgetrc, format!("ca_certificate = {}\n", bench.path.display()));
        assert!(value(&found, "SSL_CERT_DIR").ends_with(":/etc/ssl/certs"));
        assert!(value(&found, "JAVA_TOOL_OPTIONS").contains("trust/java.jks"));
        assert_eq!((found.variables.len(), found.notices.len()), (PEM_FILE.len() + 3, 0));
    }

    #[test]
    fn lesson_34_files_that_were_named_are_merged() {
        let (bench, theirs) = (bench(), bench());
        let corporate = bench.file("corp.pem", &theirs.ca_pem);
        let wgetrc = bench.file("wgetrc", "timeout = 5\n");
        let found = bench.prepare(&[
            ("GIT_SSL_CAINFO", &corporate),
            ("WGETRC", &wgetrc),
            ("SSL_CERT_DIR", "/corp/certs"),
            ("JAVA_TOOL_OPTIONS", "-Xmx1g"),
        ]);
        let merged = fs::read_to_string(value(&found, "GIT_SSL_CAINFO")).unwrap();
        assert_eq!(merged, format!("{}{}", bench.bundle.as_str(), theirs.ca_pem));
        assert_eq!(
            value(&found, "CURL_CA_BUNDLE"),
            bench.path.display().to_string(),
            "others stay as they are"
        );
        assert!(fs::read_to_string(value(&found, "WGETRC")).unwrap().starts_with("timeout = 5\n"));
        assert!(value(&found, "SSL_CERT_DIR").ends_with("trust/certs:/corp/certs"));
        assert!(value(&found, "JAVA_TOOL_OPTIONS").starts_with("-Xmx1g -D"));
    }

    #[test]
    fn doing_it_again_changes_nothing() {
        let (bench, theirs) = (bench(), bench());
        let corporate = bench.file("corp.pem", &theirs.ca_pem);
        let first = bench.prepare(&[("PIP_CERT", &corporate), ("JAVA_TOOL_OPTIONS", "-Xmx1g")]);
        let set: Vec<_> = first.variables.iter().map(|(name, value)| (*name, value.as_str())).collect();
        assert_eq!(bench.prepare(&set), first);
    }

    #[test]
    fn what_cannot_be_merged_is_said() {
        let bench = bench();
        let found = bench.prepare(&[
            ("AWS_CA_BUNDLE", "/nonexistent/corp.pem"),
            ("JAVA_TOOL_OPTIONS", "-Djavax.net.ssl.trustStore=/corp.jks"),
        ]);
        assert_eq!(found.notices.len(), 2, "{:?}", found.notices);
        assert_eq!(value(&found, "AWS_CA_BUNDLE"), bench.path.display().to_string());
        assert_eq!(value(&found, "JAVA_TOOL_OPTIONS"), "-Djavax.net.ssl.trustStore=/corp.jks");
    }

    #[test]
    fn a_store_in_a_directory_with_spaces_is_quoted_for_the_jvm() {
        let options = java_options(Path::new("/a b/java.jks"));
        assert!(options.starts_with("\"-Djavax.net.ssl.trustStore=/a b/java.jks\" "), "{options}");
    }
}

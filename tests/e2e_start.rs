//! A proxy that cannot know what it should do does not start: it says which file, which line, and what to do.

mod support;

use support::proxy::{Setup, tollgate};

/// Starts with these files, expects a refusal with exit code 1, and gives what was said.
fn refused(setup: Setup) -> String {
    let (status, said) = setup.start_refused();
    assert_eq!(status.code(), Some(1), "{said}");
    assert!(!said.contains("panicked at"), "{said}");
    said
}

#[test]
fn lesson_21_a_syntax_error_in_the_users_policy_is_refused_with_file_and_line() {
    let said = refused(Setup::default().user("[network]\ndefault = \"deny\"\nallow = [\"a.example\"\n"));
    assert!(said.contains("user.toml:"), "{said}");
}

#[test]
fn lesson_21_a_syntax_error_in_the_companys_policy_is_refused_with_file_and_line() {
    let said = refused(Setup::default().corp("[network]\nblock = [\"a.example\"]\nblock ="));
    assert!(said.contains("corp.toml:3"), "{said}");
}

#[test]
fn an_unknown_key_is_refused_with_its_line_and_a_suggestion() {
    let said = refused(Setup::default().user("[network]\ndefault = \"deny\"\nalow = [\"a.example\"]\n"));
    assert!(said.contains("user.toml:3") && said.contains("alow") && said.contains("allow"), "{said}");
    let said = refused(Setup::default().more("[timeouts]\nhelo = \"1s\""));
    assert!(said.contains("tollgate.toml:") && said.contains("helo") && said.contains("hello"), "{said}");
}

#[test]
fn lesson_22_a_policy_that_fails_its_own_samples_is_refused() {
    let policy = "[network]\ndefault = \"allow\"\n\n[[sample]]\ndeny = \"GET https://evil.example/\"\n";
    let said = refused(Setup::default().user(policy));
    assert!(said.contains("user.toml:4") || said.contains("user.toml:5"), "{said}");
    assert!(said.contains("evil.example"), "{said}");
}

#[test]
fn a_policy_file_that_is_not_there_is_refused() {
    let missing = "[policy]\ncorp = \"/nowhere/corp.toml\"";
    let setup = Setup::default().without_policy().more(missing);
    let said = refused(setup);
    assert!(said.contains("/nowhere/corp.toml"), "{said}");
}

#[test]
fn wrong_usage_is_exit_code_2() {
    assert_eq!(tollgate(&["serve", "--no-such-option"]).status.code(), Some(2));
    assert_eq!(tollgate(&["nonsense"]).status.code(), Some(2));
}

#[test]
fn every_command_explains_itself() {
    for command in ["demo", "serve", "ca", "policy", "log", "usage"] {
        let output = tollgate(&[command, "--help"]);
        assert!(output.status.success(), "{command}");
        assert!(output.stdout.len() > 200, "{command} --help says too little");
    }
}

//! Any text as `copilens.toml`, any value in the environment: settings, or faults that each name a place and fill one line.

#![no_main]

use std::path::Path;

use copilens::config::{Environment, Error, Settings};
use libfuzzer_sys::fuzz_target;
use parts::parts;

fuzz_target!(|input: &[u8]| {
    let [variable, text] = parts(input);
    let (Ok(variable), Ok(text)) = (std::str::from_utf8(variable), std::str::from_utf8(text)) else { return };
    let environment: Environment =
        variable.split_once('=').map(|(name, value)| (name.to_owned(), value.to_owned())).into_iter().collect();
    match Settings::parse(Path::new("copilens.toml"), text, &environment) {
        Ok(settings) => a_comment_changes_nothing(&settings, text, &environment),
        Err(error) => each_fault_has_its_place(&error, text),
    }
});

fn a_comment_changes_nothing(settings: &Settings, text: &str, environment: &Environment) {
    let commented = format!("# first\n{text}\n# last\n");
    let again = Settings::parse(Path::new("copilens.toml"), &commented, environment);
    assert_eq!(again.as_ref().ok(), Some(settings));
}

fn each_fault_has_its_place(error: &Error, text: &str) {
    let Error::Faults(faults) = error else { panic!("no file was read: {error}") };
    assert!(!faults.is_empty() && error.exit_code() == 78);
    for fault in faults {
        assert!(fault.place == "copilens.toml" || fault.place.starts_with("COPILENS_"), "{fault:?}");
        assert!(fault.line.is_none_or(|line| (1..=text.split('\n').count()).contains(&line)), "{fault:?}");
        assert!(!fault.message.is_empty() && !fault.to_string().contains(char::is_control), "{fault:?}");
    }
}

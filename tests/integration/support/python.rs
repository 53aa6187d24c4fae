//! Other programs' readers, through Python; scripts/python brings them along.

use std::path::Path;
use std::process::Command;

use serde_json::Value;

/// Runs a script of tests/integration/python, which prints one JSON value.
pub fn run(script: &str, arguments: &[&str]) -> Value {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let output = Command::new(root.join("scripts/python"))
        .arg(root.join("tests/integration/python").join(script))
        .args(arguments)
        .output()
        .expect("scripts/python starts");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{script} {arguments:?}: {stderr}");
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{script}: {error}: {stderr}"))
}

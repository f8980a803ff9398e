//! Configurations, right and wrong: what is read, what is refused, and how that is told.

mod example;
mod right;
mod secrets;
mod wrong;

use std::fs;

use tempfile::TempDir;
use tubewarden::config::{Config, ConfigErrors, Secrets};

const INSTANCE: &str = "[[instance]]\nname = \"main\"\nurl = \"https://peertube.example.com\"\n";

/// A directory with files in it, `config.toml` among them.
fn files(files: &[(&str, &str)]) -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let path = directory.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    directory
}

fn load(directory: &TempDir, secrets: Secrets) -> Result<Config, ConfigErrors> {
    Config::load(&directory.path().join("config.toml"), secrets, &|_| None)
}

fn loaded(text: &str) -> Config {
    load(&files(&[("config.toml", text)]), Secrets::Read).unwrap()
}

/// The lines of an error, with the directory of the files taken away.
fn refused(directory: &TempDir) -> Vec<String> {
    let directory_name = format!("{}/", directory.path().display());
    let error = load(directory, Secrets::Read).unwrap_err().to_string();
    error.lines().map(|line| line.replace(&directory_name, "")).collect()
}

//! A Python environment with the clients at the versions pinned in `clients/requirements.txt`, made
//! once and kept under the target folder.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::text;

/// Where the scripts and the pinned versions lie.
const SCRIPTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/clients");
const PROTOS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../testkit/proto");
const PROTO: &str = "testkit/echo/v1/echo.proto";

/// An environment with everything the scripts import from elsewhere.
pub struct Python {
    environment: PathBuf,
}

impl Python {
    /// Finds or makes the environment. Other processes that want it wait.
    pub fn ready() -> Self {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("python-clients");
        fs::create_dir_all(&folder).unwrap();
        let lock = File::create(folder.join("lock")).unwrap();
        lock.lock().unwrap();
        let python = Self { environment: folder.join("environment") };
        // Written last: an environment without it was not finished, or is of other versions.
        let made_of = python.environment.join("made-of");
        let wanted = wanted();
        if fs::read_to_string(&made_of).is_ok_and(|found| found == wanted) {
            return python;
        }
        if python.environment.exists() {
            fs::remove_dir_all(&python.environment).unwrap();
        }
        python.make();
        fs::write(made_of, wanted).unwrap();
        python
    }

    fn make(&self) {
        let hint =
            "install Python 3.9 or later with its module venv (apt-get install python3-venv)";
        let mut venv = Command::new("python3");
        run(venv.args(["-m", "venv"]).arg(&self.environment), hint);
        let hint = "the clients are fetched from the Python package index, once";
        let mut install = self.command();
        // Without a wheel, pip would compile gRPC for many minutes.
        install.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"]);
        install.args(["--only-binary", ":all:", "-r"]);
        run(install.arg(Path::new(SCRIPTS).join("requirements.txt")), hint);
    }

    /// Generates what the scripts import, into `into`.
    pub fn generate_stubs(&self, into: &Path) {
        let plugin = self.environment.join("bin/protoc-gen-grpclib_python");
        let mut generate = self.command();
        generate.args(["-m", "grpc_tools.protoc", "--proto_path", PROTOS]);
        generate.arg(format!("--plugin={}", text(&plugin)));
        for kind in ["python", "grpc_python", "grpclib_python"] {
            generate.arg(format!("--{kind}_out={}", text(into)));
        }
        run(generate.arg(PROTO), "stubs are generated from the proto of the echo node");
    }

    /// How a script of ours is run, with the stubs in `stubs`.
    pub fn script(&self, name: &str, stubs: &Path) -> Command {
        let mut script = self.command();
        script.arg(Path::new(SCRIPTS).join(name)).env("PYTHONPATH", stubs);
        // Nothing is left beside the scripts, nothing of the caller's settings comes in.
        script.env("PYTHONDONTWRITEBYTECODE", "1").env("PYTHONUTF8", "1");
        script
    }

    fn command(&self) -> Command {
        let mut command = Command::new(self.environment.join("bin/python"));
        command.stdin(Stdio::null());
        command
    }
}

/// What an environment has to be made of: this interpreter, these versions.
fn wanted() -> String {
    let hint = "install Python 3.9 or later (apt-get install python3 python3-venv)";
    let which = "import sys; print(sys.version, sys.prefix)";
    let interpreter = run(Command::new("python3").args(["-c", which]), hint);
    interpreter + &fs::read_to_string(Path::new(SCRIPTS).join("requirements.txt")).unwrap()
}

/// Runs a command that has to succeed; returns its output.
fn run(command: &mut Command, hint: &str) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}; {hint}"));
    let (stdout, stderr) = (String::from_utf8(output.stdout), String::from_utf8(output.stderr));
    let (stdout, stderr) = (stdout.unwrap(), stderr.unwrap());
    assert!(output.status.success(), "{command:?} failed; {hint}\n{stdout}{stderr}");
    stdout
}

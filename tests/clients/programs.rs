//! How each client is started, or why it cannot be.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::job::{Job, command};

/// The command for a job, or what is missing for it.
pub(crate) type Program = fn(&Job) -> Result<Command, String>;

/// Credentials by `--proxy-user`.
pub(crate) fn curl_with_user(job: &Job) -> Result<Command, String> {
    let mut curl = curl(job)?;
    curl.args(["--proxy", &job.proxy.to_string()]).args(["--proxy-user", &format!("{}:{}", job.user, job.password)]);
    Ok(curl)
}

/// Credentials in the proxy's URL.
pub(crate) fn curl_with_url(job: &Job) -> Result<Command, String> {
    let mut curl = curl(job)?;
    curl.args(["--proxy", &job.proxy_url()]);
    Ok(curl)
}

fn curl(job: &Job) -> Result<Command, String> {
    let mut curl = command(&installed("curl")?);
    let version = format!("--http{}", job.version);
    let report = "%{stderr}HTTP/%{http_version} %{http_code}\n";
    curl.args(["--silent", "--show-error", "--no-buffer", &version, "--write-out", report])
        .arg("--cacert")
        .arg(&job.ca);
    for (name, value) in &job.headers {
        curl.args(["--header", &format!("{name}: {value}")]);
    }
    curl.args(["--data-binary", &job.body.to_string(), &job.url()]);
    Ok(curl)
}

/// Needs no package, so any Python will do.
pub(crate) fn python_http_client(job: &Job) -> Result<Command, String> {
    script(job, &installed("python3")?, "with_http_client.py")
}

pub(crate) fn python_requests(job: &Job) -> Result<Command, String> {
    script(job, &virtual_python()?, "with_requests.py")
}

pub(crate) fn python_aiohttp(job: &Job) -> Result<Command, String> {
    script(job, &virtual_python()?, "with_aiohttp.py")
}

/// Keeps a WebSocket open for all messages of the job's body.
pub(crate) fn python_aiohttp_websocket(job: &Job) -> Result<Command, String> {
    script(job, &virtual_python()?, "with_aiohttp_websocket.py")
}

pub(crate) fn python_httpx(job: &Job) -> Result<Command, String> {
    script(job, &virtual_python()?, "with_httpx.py")
}

pub(crate) fn node_undici(job: &Job) -> Result<Command, String> {
    node(job, "undici", "with_undici.cjs")
}

/// The proxy and the CA are found in the environment, as shells set them.
pub(crate) fn node_fetch(job: &Job) -> Result<Command, String> {
    let mut node = node(job, "undici", "with_node_fetch.cjs")?;
    node.env("HTTPS_PROXY", job.proxy_url()).env("NODE_EXTRA_CA_CERTS", &job.ca);
    Ok(node)
}

pub(crate) fn java(job: &Job) -> Result<Command, String> {
    // A Java without its compiler cannot run a source file.
    installed("javac")?;
    let mut java = command(&installed("java")?);
    job.tell(&mut java);
    // Java does not answer a Basic challenge to CONNECT unless it is told that it may.
    java.arg("-Djdk.http.auth.tunneling.disabledSchemes=").arg(source("WithHttpClient.java"));
    Ok(java)
}

/// Chromium takes authorities from the certificate store in the user's home.
pub(crate) fn chromium(job: &Job) -> Result<Command, String> {
    let browser = installed("google-chrome").or_else(|_| installed("chromium"))?;
    let certutil = installed("certutil")?;
    let mut node = node(job, "playwright-core", "with_chromium.cjs")?;
    node.env("CHROMIUM", browser);
    let store = job.home.join(".pki/nssdb");
    if !store.exists() {
        std::fs::create_dir_all(&store).unwrap();
        trust(&certutil, &store, &job.ca);
    }
    Ok(node)
}

fn trust(certutil: &str, store: &Path, ca: &Path) {
    let store = format!("sql:{}", store.display());
    run(Command::new(certutil).args(["-N", "--empty-password", "-d", &store]));
    run(Command::new(certutil).args(["-A", "-n", "copilens", "-t", "C,,", "-d", &store, "-i"]).arg(ca));
}

fn run(command: &mut Command) {
    let output = command.stdin(Stdio::null()).output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}

fn node(job: &Job, package: &str, name: &str) -> Result<Command, String> {
    let mut command = node_script(package, name)?;
    job.tell(&mut command);
    Ok(command)
}

/// A script for Node that needs a package.
pub(crate) fn node_script(package: &str, name: &str) -> Result<Command, String> {
    let node = installed("node")?;
    let modules = installations().join("node_modules");
    if !modules.join(package).exists() {
        return Err(format!("the package {package} is not installed"));
    }
    let mut command = command(&node);
    command.env("NODE_PATH", modules).arg(source(name));
    Ok(command)
}

fn script(job: &Job, interpreter: &str, name: &str) -> Result<Command, String> {
    let mut command = python(interpreter, name);
    job.tell(&mut command);
    Ok(command)
}

/// Takes SQL statements as arguments.
pub(crate) fn duckdb() -> Result<Command, String> {
    python_script("with_duckdb.py")
}

/// A script for Python that needs packages.
pub(crate) fn python_script(name: &str) -> Result<Command, String> {
    Ok(python(&virtual_python()?, name))
}

fn python(interpreter: &str, name: &str) -> Command {
    let mut command = command(interpreter);
    command.env("PYTHONDONTWRITEBYTECODE", "1").arg(source(name));
    command
}

/// Is told where to ask by its environment.
pub(crate) fn githubkit() -> Result<Command, String> {
    let mut command = command(&virtual_python()?);
    command.env("PYTHONDONTWRITEBYTECODE", "1").arg(source("with_githubkit.py"));
    Ok(command)
}

fn virtual_python() -> Result<String, String> {
    // Written by tests/run once every package is in it.
    let complete = installations().join("venv/requirements.txt").exists();
    let python = installations().join("venv/bin/python");
    if complete { Ok(python.display().to_string()) } else { Err("its packages are not installed".to_owned()) }
}

fn source(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients/programs").join(name)
}

/// Where `tests/run` puts what it installs.
pub(crate) fn installations() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("clients")
}

/// The path of a program that is on the machine.
pub(crate) fn installed(program: &str) -> Result<String, String> {
    let folders = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&folders).map(|folder| folder.join(program)).find(|path| path.is_file());
    found.map(|path| path.display().to_string()).ok_or_else(|| format!("{program} is not installed"))
}

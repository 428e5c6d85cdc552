//! RabbitMQ 4.x for a Debian that has only 3.10: packages of the next release are downloaded and unpacked into the
//! cache, and their programs pointed at the libraries unpacked beside them. Nothing is installed, no chroot.
//! The result names its own directory everywhere, so it is made again when that directory moved.

use std::fs;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::account::enterable;
use crate::command::run;
use crate::mirror;
use crate::programs::which;

const SUITE: &str = "trixie";
const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";
const LIBRARIES: &[&str] = &[
    "patchelf",
    "libc6",
    "libgcc-s1",
    "libstdc++6",
    "libtinfo6",
    "zlib1g",
    "libssl3t64",
    "libsystemd0",
    "libzstd1",
    "libcap2",
];
const ERLANG: &[&str] = &[
    "base",
    "asn1",
    "crypto",
    "public-key",
    "mnesia",
    "runtime-tools",
    "ssl",
    "eldap",
    "inets",
    "os-mon",
    "parsetools",
    "syntax-tools",
    "tools",
    "xmerl",
];

/// The root of an unpacked RabbitMQ 4.x with its Erlang, made on first use (40 MB of downloads).
pub(crate) fn rabbitmq4(cache: &Path) -> Result<PathBuf> {
    let dir = cache.join("rabbitmq4");
    let tree = dir.join("tree");
    let done = dir.join("complete");
    if fs::read_to_string(&done).is_ok_and(|path| path == tree.display().to_string()) {
        return Ok(tree);
    }
    eprintln!("unpacking RabbitMQ 4 of Debian {SUITE}");
    if dir.exists() {
        fs::remove_dir_all(&dir)?;
    }
    enterable(&dir)?;
    let mut packages: Vec<String> = LIBRARIES.iter().map(|name| (*name).to_owned()).collect();
    packages.push("rabbitmq-server".to_owned());
    packages.extend(ERLANG.iter().map(|part| format!("erlang-{part}")));
    let debs = download(&dir, &packages)?;
    for deb in &debs {
        run(Command::new("dpkg-deb").arg("-x").arg(deb).arg(&tree))?;
    }
    repoint(&tree)?;
    fs::remove_dir_all(dir.join("debs"))?;
    fs::remove_dir_all(dir.join("apt"))?;
    fs::write(&done, tree.display().to_string())?;
    Ok(tree)
}

/// Downloads packages with an apt of our own: its lists, cache and empty status live in `dir`.
fn download(dir: &Path, packages: &[String]) -> Result<Vec<PathBuf>> {
    if which("apt-get").is_none() || !Path::new(KEYRING).is_file() {
        bail!(
            "RabbitMQ 4 is unpacked from Debian packages, and this is no Debian: start Docker and run this again"
        );
    }
    let (apt, debs) = (dir.join("apt"), dir.join("debs"));
    for sub in [apt.join("lists/partial"), apt.join("cache/archives/partial"), debs.clone()] {
        fs::create_dir_all(sub)?;
    }
    let sources = apt.join("sources.list");
    fs::write(&sources, format!("deb [signed-by={KEYRING}] {} {SUITE} main\n", own_mirror()?))?;
    let options = [
        format!("Dir::Etc::sourcelist={}", sources.display()),
        "Dir::Etc::sourceparts=/dev/null".to_owned(),
        format!("Dir::State::lists={}/lists", apt.display()),
        format!("Dir::Cache={}/cache", apt.display()),
        "Dir::State::status=/dev/null".to_owned(),
        "APT::Sandbox::User=root".to_owned(),
    ];
    let apt_get = |words: &[&str]| {
        let mut command = Command::new("apt-get");
        command
            .current_dir(&debs)
            .args(options.iter().flat_map(|option| ["-o", option]))
            .arg("-qq")
            .args(words);
        command
    };
    run(&mut apt_get(&["update"]))?;
    run(apt_get(&["download"]).args(packages))?;
    let files: Vec<PathBuf> = fs::read_dir(&debs)?.flatten().map(|entry| entry.path()).collect();
    if files.len() < packages.len() {
        bail!("only {} of {} packages of {SUITE} could be downloaded", files.len(), packages.len());
    }
    Ok(files)
}

/// The mirror that this system itself uses.
fn own_mirror() -> Result<String> {
    let found = mirror::debian().and_then(|(_, text)| mirror::named(&text).map(str::to_owned));
    found.context("no Debian mirror is configured under /etc/apt: RabbitMQ 4 is unpacked from its packages")
}

/// Points every unpacked program at the unpacked loader and libraries.
fn repoint(tree: &Path) -> Result<()> {
    let (triplet, loader) = match std::env::consts::ARCH {
        "x86_64" => ("x86_64-linux-gnu", "ld-linux-x86-64.so.2"),
        "aarch64" => ("aarch64-linux-gnu", "ld-linux-aarch64.so.1"),
        other => bail!("RabbitMQ 4 cannot be unpacked on {other}: start Docker and run this again"),
    };
    let libraries = tree.join("usr/lib").join(triplet);
    let loader = libraries.join(loader);
    let mut files = Vec::new();
    for dir in ["usr/bin", "usr/sbin", "usr/lib/erlang"] {
        programs(&tree.join(dir), &mut files)?;
    }
    for file in files.iter().filter(|file| file.file_name().is_some_and(|name| name != "patchelf")) {
        let mut patch = Command::new(&loader);
        patch.arg("--library-path").arg(&libraries).arg(tree.join("usr/bin/patchelf"));
        patch.arg("--force-rpath").arg("--set-rpath").arg(&libraries);
        if file.extension().is_none_or(|extension| extension != "so") {
            patch.arg("--set-interpreter").arg(&loader);
        }
        run(patch.arg(file))?;
    }
    rewrite_erl(&tree.join("usr/lib/erlang"))
}

/// Collects the ELF files under `dir`, links not followed.
fn programs(dir: &Path, found: &mut Vec<PathBuf>) -> Result<()> {
    let Ok(entries) = fs::read_dir(dir) else { return Ok(()) };
    for entry in entries {
        let (path, kind) = {
            let entry = entry?;
            (entry.path(), entry.file_type()?)
        };
        if kind.is_dir() {
            programs(&path, found)?;
        } else if kind.is_file() {
            let mut magic = [0; 4];
            let read = fs::File::open(&path)?.read(&mut magic)?;
            if magic[..read] == *b"\x7fELF" {
                found.push(path);
            }
        }
    }
    Ok(())
}

/// The `erl` scripts name Erlang's directory.
fn rewrite_erl(erlang: &Path) -> Result<()> {
    let mut scripts = vec![erlang.join("bin/erl")];
    for entry in fs::read_dir(erlang)?.flatten() {
        if entry.file_name().to_string_lossy().starts_with("erts-") {
            scripts.push(entry.path().join("bin/erl"));
        }
    }
    for script in scripts.iter().filter(|script| script.is_file()) {
        let text =
            fs::read_to_string(script).with_context(|| format!("{} cannot be read", script.display()))?;
        let here = format!("ROOTDIR={}", erlang.display());
        fs::write(script, text.replace("ROOTDIR=/usr/lib/erlang", &here))?;
        fs::set_permissions(script, fs::Permissions::from_mode(0o755))?;
    }
    Ok(())
}

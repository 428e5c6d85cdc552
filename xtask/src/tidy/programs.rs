//! A test starts only programs of the services' catalogue, so that a fresh machine has them: a check that was green
//! because somebody's machine happened to have one is not a check. Developers' tools (`xtask`, `benches`) say themselves
//! what they lack and are not judged, nor are the recipes of
//! servers, whose packages are installed with them.

use super::lexer::{Literal, closing, line_of, words};
use super::tree::Source;

const NOT_JUDGED: &[&str] = &["xtask/", "benches/", "fuzz/", "crates/servers/"];
/// Files that start what they are given: those that give it are judged.
const DOORS: &[&str] = &[
    "crates/testkit/src/programs.rs",
    "crates/testkit/src/process/binary.rs",
    "crates/testkit/src/process/running.rs",
    "crates/testkit/src/siege/server.rs",
    "crates/testkit/src/survival/producer.rs",
    "crates/testkit/src/survival/fleet.rs",
];
/// Programs that are made by this very build.
const OURS: &[&str] = &["backshift_binary(", "example(", "std::env::current_exe(", "env!(", "programs::"];
/// What starts a program by its name.
const STARTS: &[&str] = &[
    "Command::new",
    "Running::launch",
    "Running::launch_in",
    "programs::find",
    "programs::command",
    "programs::require",
];
const SHELLS: &[&str] = &["sh", "bash", "dash"];
/// Words of the shell itself, and those after which the program's name stands.
const BUILTIN: &[&str] = &[
    ":", "[", "break", "case", "cd", "do", "done", "echo", "else", "esac", "exit", "export", "false", "fi",
    "for", "if", "kill", "printf", "read", "set", "shift", "test", "then", "trap", "true", "ulimit", "umask",
    "wait", "while", "{", "}", "!",
];
const IN_FRONT: &[&str] = &["!", "command", "do", "else", "exec", "if", "setsid", "then", "while", "{"];
/// Python's own modules, as far as scripts here use them.
const PYTHON: &[&str] = &[
    "argparse",
    "base64",
    "datetime",
    "decimal",
    "hashlib",
    "json",
    "mimetypes",
    "os",
    "pathlib",
    "random",
    "re",
    "socket",
    "ssl",
    "struct",
    "sys",
    "threading",
    "time",
    "uuid",
];

/// Findings in one Rust file; `known` is the catalogue.
pub(crate) fn check(source: &Source, known: &[&str]) -> Vec<String> {
    if NOT_JUDGED.iter().any(|free| source.path.starts_with(free)) || DOORS.contains(&source.path.as_str()) {
        return Vec::new();
    }
    let mut found = Vec::new();
    let starts_programs = source.code.contains("process::");
    for start in STARTS.iter().filter(|start| starts_programs || **start != "Command::new") {
        for at in words(&source.code, start) {
            let open = at + start.len();
            if source.code[open..].starts_with('(') {
                found.extend(judge(source, open, known));
            }
        }
    }
    for at in words(&source.code, "programs::python") {
        let module = argument(source, at + "programs::python".len());
        let name = module.map_or("a module that is computed", |module| module.value.as_str());
        found.extend(refuse(source, at, &format!("python3:{name}"), known));
    }
    found
}

/// Findings in one Python file that tests run.
pub(crate) fn check_python(path: &str, text: &str, known: &[&str]) -> Vec<String> {
    let mut found = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let mut parts = line.split_whitespace();
        let names: Vec<&str> = match parts.next() {
            Some("import") => line.trim_start()["import".len()..].split(',').collect(),
            Some("from") => parts.next().into_iter().collect(),
            _ => continue,
        };
        for name in names {
            let module = name.trim().split([' ', '.']).next().unwrap_or_default();
            let is_known = PYTHON.contains(&module) || known.contains(&format!("python3:{module}").as_str());
            if !is_known {
                found.push(format!("{path}:{}: {}", number + 1, stranger(&format!("python3:{module}"))));
            }
        }
    }
    found
}

/// The call whose parenthesis is at `open`: the program that its first argument names.
fn judge(source: &Source, open: usize, known: &[&str]) -> Vec<String> {
    let Some(literal) = argument(source, open) else {
        let given = source.code[open + 1..].trim_start();
        if OURS.iter().any(|ours| given.starts_with(ours)) {
            return Vec::new();
        }
        let line = line_of(&source.code, open);
        let advice = "name the program here, or take it from testkit's `programs`";
        return vec![format!("{}:{line}: which program is this? {advice}", source.path)];
    };
    let mut found = refuse(source, open, &literal.value, known);
    if SHELLS.contains(&literal.value.as_str()) {
        match script(source, literal) {
            Some(script) => {
                let strangers = commands(&script.value).into_iter();
                found.extend(strangers.flat_map(|name| refuse(source, open, name, known)));
            }
            None => {
                let line = line_of(&source.code, open);
                found.push(format!("{}:{line}: write what the shell runs right after \"-c\"", source.path));
            }
        }
    }
    found
}

fn refuse(source: &Source, at: usize, name: &str, known: &[&str]) -> Vec<String> {
    if known.contains(&name) {
        return Vec::new();
    }
    vec![format!("{}:{}: {}", source.path, line_of(&source.code, at), stranger(name))]
}

fn stranger(name: &str) -> String {
    format!("{name:?} is not in the catalogue: add it and its package to crates/servers/src/programs.rs")
}

/// The string literal that is the whole first argument of the call whose parenthesis is at `open`.
fn argument(source: &Source, open: usize) -> Option<&Literal> {
    let close = closing(&source.code, open)?;
    let inside = &source.code[open + 1..close];
    let first = inside.split(',').next()?.trim();
    if !(first.len() >= 2 && first.starts_with('"') && first.ends_with('"')) {
        return None;
    }
    let at = open + 1 + (inside.len() - inside.trim_start().len());
    source.literals.iter().find(|literal| literal.at == at)
}

/// What the shell is told to run: the literal after `"-c"`, within the next lines.
fn script<'a>(source: &'a Source, shell: &Literal) -> Option<&'a Literal> {
    let mut after = source.literals.iter().skip_while(|literal| !std::ptr::eq(*literal, shell)).skip(1);
    let flag = after.next()?;
    (flag.value.starts_with('-') && flag.value.ends_with('c') && flag.line <= shell.line + 4)
        .then(|| after.next())?
}

/// The programs that a script starts by name.
fn commands(script: &str) -> Vec<&str> {
    let parts = script.split(['\n', ';', '|', '&', '(', ')', '`']);
    parts.filter_map(command).filter(|name| !BUILTIN.contains(name)).collect()
}

/// The first word that is neither an assignment nor only in front of the program; `None` = the script computes it.
fn command(part: &str) -> Option<&str> {
    let is_assignment = |word: &&str| word.split_once('=').is_some_and(|(name, _)| !name.is_empty());
    let word = part.split_whitespace().find(|word| !is_assignment(word) && !IN_FRONT.contains(word))?;
    let computed =
        word.starts_with(['$', '"', '\\', '\'', '{', '>', '<']) || word.bytes().all(|b| b.is_ascii_digit());
    (!computed).then_some(word)
}

#[cfg(test)]
mod tests {
    use super::{check, check_python};
    use crate::tidy::tree::Source;

    const KNOWN: &[&str] = &["chromium", "sh", "sleep", "python3", "python3:pika"];
    const TEST: &str = "crates/http/tests/it/a.rs";

    fn findings(text: &str) -> Vec<String> {
        check(&Source::new(TEST, &format!("use std::process::Command;\n{text}")), KNOWN)
    }

    #[test]
    fn a_program_outside_the_catalogue_is_refused_and_named() {
        let found = findings("\nfn a() { Command::new(\"openssl\").arg(\"x\"); }");
        assert_eq!(found.len(), 1);
        assert!(found[0].starts_with("crates/http/tests/it/a.rs:3: \"openssl\""), "{found:?}");
        for text in [
            "fn a() { tokio::process::Command::new( \"openssl\" ); }",
            "fn a() { f(\"sh\", \"ä\"); Command::new(\"openssl\"); }",
            "fn a() { f(\"one\ntwo\"); Command::new(\"openssl\"); }",
            "fn a() { programs::command(\"openssl\"); }",
            "fn a() { programs::require(\"openssl\"); }",
            "async fn a() { programs::python(\"requests\").await; }",
            "async fn a(module: &str) { programs::python(module).await; }",
        ] {
            assert_eq!(findings(text).len(), 1, "{text}");
        }
    }

    #[test]
    fn what_the_catalogue_has_and_what_we_build_may_be_started() {
        for text in [
            "fn a() { Command::new(\"chromium\"); programs::require(\"chromium\"); }",
            "async fn a() { programs::python(\"pika\").await; }",
            "fn a() { Command::new(backshift_binary()); Command::new(std::env::current_exe().unwrap()); }",
            "fn a() { Command::new(env!(\"CARGO_BIN_EXE_a\")); Command::new(programs::find(\"chromium\")?); }",
            "fn a() { \"Command::new(\\\"openssl\\\")\"; } // Command::new(\"openssl\")",
        ] {
            assert_eq!(findings(text), [""; 0], "{text}");
        }
    }

    #[test]
    fn a_program_that_cannot_be_seen_is_refused() {
        for text in ["fn a(p: &Path) { Command::new(p); }", "fn a() { Command::new(format!(\"x{y}\")); }"] {
            assert!(findings(text)[0].contains("which program"), "{text}");
        }
    }

    #[test]
    fn a_shell_is_looked_into() {
        let run = |script: &str| {
            findings(&format!("fn a() {{ Command::new(\"sh\").args([\"-c\", \"{script}\"]); }}"))
        };
        assert_eq!(run("sleep 60 & setsid sleep 60 & wait"), [""; 0]);
        assert_eq!(run("ulimit -v 100000; A=1 exec \\\"$0\\\" {rest} 2>&1"), [""; 0]);
        assert_eq!(run("sleep 1 && openssl x | if jq .; then exec curl; fi").len(), 3);
        assert!(findings("fn a() { Command::new(\"sh\").arg(\"-c\").arg(script); }")[0].contains("-c"));
        assert!(findings("fn a() { Command::new(\"sh\").arg(file); }")[0].contains("-c"));
    }

    #[test]
    fn developers_tools_and_other_commands_are_not_judged() {
        let text = "use std::process::Command;\nfn a() { Command::new(\"docker\"); }";
        assert!(check(&Source::new("xtask/src/a.rs", text), KNOWN).is_empty());
        let clap = "fn a() { clap::Command::new(\"backshift\"); }";
        assert!(check(&Source::new("crates/cli/src/a.rs", clap), KNOWN).is_empty());
    }

    #[test]
    fn modules_of_python_are_judged_where_they_are_imported() {
        let text = "import sys\nimport json, os.path as p\nfrom decimal import Decimal\nimport pika\n";
        assert_eq!(check_python("a.py", text, KNOWN), [""; 0]);
        let found =
            check_python("a.py", "import sys\nfrom requests.api import get\nimport pika, yaml\n", KNOWN);
        assert_eq!(found.len(), 2);
        assert!(found[0].starts_with("a.py:2: \"python3:requests\""), "{found:?}");
    }
}

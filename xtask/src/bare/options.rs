//! What `cargo xtask bare` was asked for.

use std::path::PathBuf;

use anyhow::{Context, Result, bail};

const USAGE: &str = "cargo xtask bare [--keep] [--commit REV] [--command CMD] [--cache DIR]";

/// The options with their defaults.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Options {
    /// The root stays where it is, for a look.
    pub(super) keep: bool,
    /// What is checked out in it.
    pub(super) commit: String,
    /// A line for bash, run in the checkout.
    pub(super) command: String,
    /// Where `target` and cargo's downloads are kept between runs; without it nothing is.
    pub(super) cache: Option<PathBuf>,
}

impl Options {
    pub(super) fn parse(args: &[String]) -> Result<Self> {
        let command = "CI=true bash .ci/run".to_owned();
        let mut options = Self { keep: false, commit: "HEAD".to_owned(), command, cache: None };
        let mut args = args.iter();
        while let Some(arg) = args.next() {
            let mut value =
                || args.next().cloned().with_context(|| format!("{arg} needs a value; usage: {USAGE}"));
            match arg.as_str() {
                "--keep" => options.keep = true,
                "--commit" => options.commit = value()?,
                "--command" => options.command = value()?,
                "--cache" => options.cache = Some(value()?.into()),
                other => bail!("unknown option {other:?}; usage: {USAGE}"),
            }
        }
        Ok(options)
    }
}

#[cfg(test)]
mod tests {
    use super::Options;

    fn parse(args: &[&str]) -> anyhow::Result<Options> {
        Options::parse(&args.iter().map(|arg| (*arg).to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn the_whole_check_of_head_is_the_default() {
        let options = parse(&[]).unwrap();
        assert_eq!((options.keep, options.commit.as_str()), (false, "HEAD"));
        assert!(options.command.contains(".ci/run") && options.cache.is_none());
    }

    #[test]
    fn options_take_their_values_and_nothing_else() {
        let options = parse(&["--command", "cargo xtask tidy", "--keep", "--cache", "d"]).unwrap();
        assert!(options.keep && options.command == "cargo xtask tidy");
        assert_eq!(options.cache.as_deref(), Some("d".as_ref()));
        for wrong in [&["--commit"][..], &["--what"], &["HEAD"]] {
            assert!(parse(wrong).unwrap_err().to_string().contains("usage"), "{wrong:?}");
        }
    }
}

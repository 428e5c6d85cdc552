//! The one commented file with every key, made from the table of settings.
//!
//! `backshift.toml` of the repository is this text; a test keeps the two equal.

use super::{Form, SETTINGS, secret_files::may_be_a_file};

/// Every key with its default, commented out.
pub(crate) fn template() -> String {
    let mut text = String::from(
        "# Every setting of Backshift with its default. Remove the # of what you change.\n\
         # Flags beat variables, variables beat this file. An unknown key is an error.\n\
         # Where it says \"or _FILE\", the variable's name with _FILE behind it names a file that holds the value.\n",
    );
    let mut section = "";
    for setting in SETTINGS.iter() {
        let own = setting.section();
        let name = setting.key.split_once('.').map_or(setting.key, |(_, name)| name);
        if own != section {
            text.push_str(&format!("\n[{own}]\n"));
            section = own;
        }
        let mut variables = setting.variables().join(", ");
        if may_be_a_file(setting) {
            variables.push_str(", or _FILE");
        }
        let quoted = match setting.form {
            Form::Number(..) | Form::Switch => setting.default.to_owned(),
            _ => format!("{:?}", setting.default),
        };
        text.push_str(&format!("# {} ({variables})\n# {name} = {quoted}\n", setting.meaning));
    }
    text
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_file_of_the_repository_has_every_key() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../backshift.toml");
        let file = std::fs::read_to_string(path).unwrap();
        assert!(file == super::template(), "run `backshift config template > backshift.toml`");
    }
}

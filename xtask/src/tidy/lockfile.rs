//! What must not come in through a default feature of some dependency: a second TLS stack beside rustls with ring, and
//! the crate `rsa`, whose private-key operations leak their timing. `deny.toml` says the same, for who has cargo-deny.

const FORBIDDEN: &[&str] =
    &["aws-lc-rs", "aws-lc-sys", "aws-lc-fips-sys", "native-tls", "openssl", "openssl-sys", "rsa"];

/// Findings in `Cargo.lock`.
pub(crate) fn check(lock: &str) -> Vec<String> {
    let names = lock.lines().filter_map(|line| line.strip_prefix("name = \"")?.strip_suffix('"'));
    names
        .filter(|name| FORBIDDEN.contains(name))
        .map(|name| format!("Cargo.lock: {name}: switch it off (`cargo tree -i {name}` shows who brings it)"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::{FORBIDDEN, check};

    #[test]
    fn a_second_tls_stack_is_found() {
        let lock = "[[package]]\nname = \"openssl-probe\"\n\n[[package]]\nname = \"native-tls\"\nversion = \"0.2\"\n";
        let found = check(lock);
        assert_eq!(found.len(), 1);
        assert!(found[0].contains("native-tls"));
    }

    #[test]
    fn rsa_is_found_however_it_comes() {
        let lock = "[[package]]\nname = \"jsonwebtoken\"\ndependencies = [\n \"rsa\",\n]\n\n[[package]]\nname = \"rsa\"\nversion = \"0.9.9\"\n";
        let found = check(lock);
        assert_eq!(found.len(), 1);
        assert!(found[0].contains("cargo tree -i rsa"), "{found:?}");
        assert!(check("[[package]]\nname = \"ring\"\n").is_empty());
    }

    /// Who has cargo-deny and who has not are told the same.
    #[test]
    fn both_lists_are_the_same() {
        let deny = include_str!("../../../deny.toml");
        let denied: Vec<&str> = deny
            .lines()
            .filter_map(|line| line.trim().strip_prefix("{ crate = \"")?.split('"').next())
            .collect();
        for name in FORBIDDEN {
            assert!(denied.contains(name), "{name} is not in deny.toml");
        }
        assert_eq!(denied.len(), FORBIDDEN.len(), "{denied:?}");
    }
}

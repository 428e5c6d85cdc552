//! One TLS stack: rustls with ring. A second one creeps in through a default feature of some dependency.

const FORBIDDEN: &[&str] =
    &["aws-lc-rs", "aws-lc-sys", "aws-lc-fips-sys", "native-tls", "openssl", "openssl-sys"];

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
    use super::check;

    #[test]
    fn a_second_tls_stack_is_found() {
        let lock = "[[package]]\nname = \"openssl-probe\"\n\n[[package]]\nname = \"native-tls\"\nversion = \"0.2\"\n";
        let found = check(lock);
        assert_eq!(found.len(), 1);
        assert!(found[0].contains("native-tls"));
    }
}

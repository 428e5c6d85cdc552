//! From a locale to those that may stand in for it.

/// The locale of last resort.
const LAST: &str = "en";

/// `vi-VN` gives `vi-vn`, `vi`, `en`: the most specific first, lower case, never empty.
pub fn fallback_chain(locale: &str) -> Vec<String> {
    let clean: String = locale.trim().chars().take(35).map(|c| if c == '_' { '-' } else { c }).collect();
    // POSIX spells `vi_VN.UTF-8@euro`.
    let clean = clean.split(['.', '@']).next().unwrap_or_default().to_ascii_lowercase();
    let mut chain = Vec::new();
    let mut rest = clean.as_str();
    while !rest.is_empty() {
        chain.push(rest.to_owned());
        rest = rest.rsplit_once('-').map_or("", |(shorter, _)| shorter);
    }
    if !chain.iter().any(|l| l == LAST) {
        chain.push(LAST.to_owned());
    }
    chain
}

#[cfg(test)]
mod tests {
    use super::fallback_chain;

    #[test]
    fn falls_back() {
        assert_eq!(fallback_chain("vi-VN"), ["vi-vn", "vi", "en"]);
        assert_eq!(fallback_chain("vi_VN.UTF-8"), ["vi-vn", "vi", "en"]);
        assert_eq!(fallback_chain("en-GB"), ["en-gb", "en"]);
        assert_eq!(fallback_chain("zh-Hant-TW"), ["zh-hant-tw", "zh-hant", "zh", "en"]);
        for odd in ["", "  ", "../..", "-"] {
            assert_eq!(fallback_chain(odd).last().unwrap(), "en", "{odd}");
        }
    }
}

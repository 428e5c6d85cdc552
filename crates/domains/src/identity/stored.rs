//! Password hashes as they stand in a row: Argon2 and bcrypt, and how much work one may ask for.
//!
//! A hash names its own cost. Whoever could write a row, or a program that was set up wrongly, must not be able to
//! stop logins with it: what is dearer than the bounds below is refused and never computed.

use argon2::{
    Algorithm, Argon2, Block, Params, Version,
    password_hash::phc::{Output, ParamsString, PasswordHash, Salt},
};
use subtle::ConstantTimeEq;

/// Memory in KiB, passes, lanes (docs/contracts/system-c.md, "Memory").
pub(super) const COST: (u32, u32, u32) = (19 * 1024, 2, 1);
/// The dearest bcrypt that is computed: about a second of a core.
const DEAREST_BCRYPT: u32 = 14;
/// The most memory of Argon2 in KiB, memory times passes in KiB, and lanes.
const DEAREST_ARGON2: (u32, u64, u32) = (64 * 1024, 256 * 1024, 8);

/// A hash that can be compared.
pub(super) enum Stored {
    /// Argon2, with what it was made of.
    Argon2 { hasher: Box<Argon2<'static>>, salt: Salt, output: Output, current: bool },
    /// bcrypt.
    Bcrypt,
}

/// Why a stored hash is not compared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Unusable {
    /// It is none.
    Garbage,
    /// It asks for too much.
    TooDear(String),
}

impl Stored {
    /// Reads a hash and judges its cost.
    pub(super) fn read(text: &str) -> Result<Self, Unusable> {
        if text.starts_with("$2") {
            let parts: bcrypt::HashParts = text.parse().map_err(|_| Unusable::Garbage)?;
            return match parts.get_cost() {
                0..=DEAREST_BCRYPT => Ok(Self::Bcrypt),
                cost => Err(Unusable::TooDear(format!("bcrypt with cost {cost}"))),
            };
        }
        Self::argon2(text).ok_or(Unusable::Garbage)?
    }

    fn argon2(text: &str) -> Option<Result<Self, Unusable>> {
        let hash = PasswordHash::new(text).ok()?;
        let algorithm = Algorithm::try_from(hash.algorithm.as_str()).ok()?;
        let version = hash.version.map_or(Ok(Version::default()), Version::try_from).ok()?;
        let params = Params::try_from(&hash).ok()?;
        let (memory, passes, lanes) = (params.m_cost(), params.t_cost(), params.p_cost());
        let (most_memory, most_work, most_lanes) = DEAREST_ARGON2;
        if memory > most_memory || u64::from(memory) * u64::from(passes) > most_work || lanes > most_lanes {
            let text = format!("{} with m={memory},t={passes},p={lanes}", algorithm.as_str());
            return Some(Err(Unusable::TooDear(text)));
        }
        let current =
            (algorithm, version) == (Algorithm::Argon2id, Version::V0x13) && (memory, passes, lanes) == COST;
        let (salt, output) = (hash.salt?, hash.hash?);
        let hasher = Box::new(Argon2::new(algorithm, version, params));
        Some(Ok(Self::Argon2 { hasher, salt, output, current }))
    }

    /// Whether this is the password; Argon2 works in `memory`, which grows to what is needed.
    pub(super) fn matches(&self, text: &str, password: &[u8], memory: &mut Vec<Block>) -> bool {
        match self {
            // Go refuses passwords of more than 72 bytes, so a longer one cannot be right; it must not match its head.
            Self::Bcrypt => password.len() <= 72 && bcrypt::verify(password, text).unwrap_or(false),
            Self::Argon2 { hasher, salt, output, .. } => {
                let mut found = vec![0; output.len()];
                let filled = fill(hasher, password, salt, &mut found, memory);
                filled.is_ok() && bool::from(found.ct_eq(output.as_bytes()))
            }
        }
    }

    /// Whether it is what is made today.
    pub(super) fn is_current(&self) -> bool {
        matches!(self, Self::Argon2 { current: true, .. })
    }
}

/// The hash of a password as a PHC string.
pub(super) fn hashed(password: &[u8], memory: &mut Vec<Block>) -> Result<String, String> {
    let hasher = current().map_err(|error| error.to_string())?;
    let mut output = [0; Params::DEFAULT_OUTPUT_LEN];
    let salt = rand::random::<[u8; 16]>();
    fill(&hasher, password, &salt, &mut output, memory).map_err(|error| error.to_string())?;
    phc(&hasher, &salt, &output)
}

/// A hash of nobody's password, which costs as much as a real one to compare.
pub(super) fn nobody_s() -> Result<String, String> {
    let hasher = current().map_err(|error| error.to_string())?;
    phc(&hasher, &rand::random::<[u8; 16]>(), &rand::random::<[u8; 32]>())
}

fn current() -> argon2::Result<Argon2<'static>> {
    let (memory, passes, lanes) = COST;
    let params = Params::new(memory, passes, lanes, None)?;
    Ok(Argon2::new(Algorithm::Argon2id, Version::V0x13, params))
}

fn fill(
    hasher: &Argon2<'_>,
    password: &[u8],
    salt: &[u8],
    output: &mut [u8],
    memory: &mut Vec<Block>,
) -> argon2::Result<()> {
    let blocks = hasher.params().block_count();
    if memory.len() < blocks {
        memory.resize(blocks, Block::new());
    }
    hasher.hash_password_into_with_memory(password, salt, output, &mut memory[..blocks])
}

fn phc(hasher: &Argon2<'_>, salt: &[u8], output: &[u8]) -> Result<String, String> {
    let hash = || -> Result<PasswordHash, argon2::password_hash::Error> {
        Ok(PasswordHash {
            algorithm: Algorithm::Argon2id.ident(),
            version: Some(Version::V0x13.into()),
            params: ParamsString::try_from(hasher.params())?,
            salt: Some(Salt::new(salt)?),
            hash: Some(Output::new(output)?),
        })
    };
    hash().map(|hash| hash.to_string()).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use argon2::password_hash::{PasswordHasher, PasswordVerifier};

    use super::*;

    #[test]
    fn what_is_made_in_used_memory_is_what_the_library_makes() {
        let mut memory = vec![Block::new(); 3];
        for password in ["correct horse", "another", "correct horse"] {
            let text = hashed(password.as_bytes(), &mut memory).unwrap();
            Argon2::default().verify_password(password.as_bytes(), text.as_str()).unwrap();
            assert!(Argon2::default().verify_password(b"wrong", text.as_str()).is_err());
            assert!(text.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{text}");
        }
        assert_eq!(memory.len(), 19 * 1024, "grown once");
    }

    #[test]
    fn hashes_of_other_programs_are_compared_within_bounds() {
        let mut memory = Vec::new();
        for (memory_cost, passes, lanes) in [(8, 1, 1), (4096, 3, 1), (4096, 1, 4), (32 * 1024, 1, 2)] {
            let params = Params::new(memory_cost, passes, lanes, None).unwrap();
            let made =
                Argon2::new(Algorithm::Argon2i, Version::V0x13, params).hash_password(b"horse").unwrap();
            let text = made.to_string();
            let stored = Stored::read(&text).unwrap_or_else(|why| panic!("{text}: {why:?}"));
            assert!(
                stored.matches(&text, b"horse", &mut memory) && !stored.matches(&text, b"house", &mut memory)
            );
            assert!(!stored.is_current());
        }
    }

    #[test]
    fn a_hash_that_asks_for_too_much_is_never_computed() {
        let argon2 =
            |cost: &str| format!("$argon2id$v=19${cost}$c29tZXNhbHRzb21lc2FsdA$aGFzaGhhc2hoYXNoaGFzaA");
        for text in [
            argon2("m=65537,t=1,p=1"),
            argon2("m=4294967295,t=1,p=1"),
            argon2("m=19456,t=14,p=1"),
            argon2("m=64,t=4294967295,p=1"),
            argon2("m=1024,t=1,p=9"),
            bcrypt::hash("x", 4).unwrap().replacen("$04$", "$15$", 1),
            bcrypt::hash("x", 4).unwrap().replacen("$04$", "$31$", 1),
        ] {
            assert!(matches!(Stored::read(&text), Err(Unusable::TooDear(_))), "{text}");
        }
        assert!(Stored::read(&argon2("m=65536,t=4,p=1")).is_ok());
        assert!(Stored::read(&bcrypt::hash("x", 4).unwrap().replacen("$04$", "$14$", 1)).is_ok());
        for garbage in
            ["", "plain", "$2a$10$short", "$argon2id$v=19$broken", "$argon2id$v=19$m=8,t=1,p=1", "$2b$"]
        {
            assert_eq!(Stored::read(garbage).err(), Some(Unusable::Garbage), "{garbage:?}");
        }
    }
}

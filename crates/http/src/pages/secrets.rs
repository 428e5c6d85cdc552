//! Which names stand for a secret: one list for keys of JSON, for `{"name": …, "value": …}` pairs and for parts of a URL.
//!
//! Spelling does not matter: `apiKey`, `API_KEY`, `x-api-key` and `apikey` are one name. Short words count only as words of
//! their own, so that a shipping address is not taken for a PIN.

/// Anywhere in the name, separators taken out.
const ANYWHERE: [&str; 37] = [
    "password",
    "passwd",
    "passphrase",
    "passcode",
    "passkey",
    "secret",
    "token",
    "credential",
    "otp",
    "code",
    "authorization",
    "authorisation",
    "authentication",
    "bearer",
    "apikey",
    "accesskey",
    "privatekey",
    "secretkey",
    "signingkey",
    "encryptionkey",
    "masterkey",
    "cookie",
    "session",
    "creditcard",
    "debitcard",
    "cardnumber",
    "cardno",
    "cardholder",
    "socialsecurity",
    "nationalid",
    "passport",
    "iban",
    "mnemonic",
    "seedphrase",
    "securityanswer",
    "magiclink",
    "connectionstring",
];
/// As a word of its own, plural or with a number behind it too.
const WORDS: [&str; 22] = [
    "pwd", "pass", "pw", "psw", "pin", "puk", "tan", "cvv", "cvc", "csc", "pan", "card", "ssn", "sid",
    "auth", "oauth", "jwt", "totp", "mfa", "dsn", "nonce", "salt",
];

/// Whether what stands under this name is not for a page.
pub(super) fn is_secret(name: &str) -> bool {
    let words = words(name);
    let joined = words.concat();
    ANYWHERE.iter().any(|secret| joined.contains(secret)) || words.iter().any(|word| is_short(word))
}

fn is_short(word: &str) -> bool {
    let word = word.trim_end_matches(|c: char| c.is_ascii_digit());
    let singular = word.strip_suffix('s').unwrap_or(word);
    WORDS.iter().any(|secret| *secret == word || *secret == singular)
}

/// `userApiKey_2` is `user`, `api`, `key`, `2`; `APIKey` is `api`, `key`.
fn words(name: &str) -> Vec<String> {
    let letters: Vec<char> = name.chars().collect();
    let mut words = vec![String::new()];
    for (place, letter) in letters.iter().enumerate() {
        if !letter.is_alphanumeric() {
            words.push(String::new());
            continue;
        }
        let before = place.checked_sub(1).map(|before| letters[before]);
        let lower_before = before.is_some_and(|c| c.is_lowercase() || c.is_ascii_digit());
        let lower_after = letters.get(place + 1).is_some_and(|c| c.is_lowercase());
        let capital_before = before.is_some_and(char::is_uppercase);
        if letter.is_uppercase() && (lower_before || (capital_before && lower_after)) {
            words.push(String::new());
        }
        if let Some(word) = words.last_mut() {
            word.extend(letter.to_lowercase());
        }
    }
    words.retain(|word| !word.is_empty());
    words
}

/// A text without what its URLs carry: the password before the host, and values of secret names in a query.
pub(super) fn without_url_secrets(text: &str) -> String {
    if !text.contains("://") {
        return text.to_owned();
    }
    let parts: Vec<String> = text.split_inclusive(char::is_whitespace).map(url).collect();
    parts.concat()
}

fn url(word: &str) -> String {
    let Some((scheme, rest)) = word.split_once("://") else { return word.to_owned() };
    let place = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (place, rest) = rest.split_at(place);
    let place = match place.rsplit_once('@') {
        Some((who, host)) => match who.split_once(':') {
            Some((user, _)) => format!("{user}:(hidden)@{host}"),
            None => place.to_owned(),
        },
        None => place.to_owned(),
    };
    let pairs: Vec<String> = rest.split_inclusive(['?', '&', '#', ';']).map(pair).collect();
    format!("{scheme}://{place}{}", pairs.concat())
}

fn pair(pair: &str) -> String {
    match pair.split_once('=') {
        Some((name, value)) if is_secret(name) => {
            let end = value.trim_end_matches(|c: char| "?&#;".contains(c) || c.is_whitespace()).len();
            format!("{name}=(hidden){}", &value[end..])
        }
        _ => pair.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::{is_secret, without_url_secrets};

    const SECRETS: &str = "\
password,PASSWORD,userPassword,user_password,pass-word,new.password,passwd,pwd,db_pwd,PWD2
apikey,apiKey,api_key,API-KEY,APIKey,X-Api-Key,pin,PIN,cardPin,pin_2,pins,private_key
privateKey,PRIVATE KEY,cookie,Set-Cookie,cookies,card,card_number,creditCard,ssn,SSN,user.ssn
socialSecurityNumber,authorization,Authorization,proxy-authorization,auth,session,sessionId
session_id,PHPSESSIONID,sid,connect.sid,token,accessToken,refresh_tokens,otp,OTP,otp_code
verificationCode,backup_codes,secret,clientSecret,credentials,cvv,cvc2,jwt,idJWT,bearer
passphrase,iban,AWS_SECRET_ACCESS_KEY,accessKey,dsn,DATABASE_DSN";
    const OTHERS: &str = "\
shipping,shippingAddress,spinner,opinion,pinned,discard,cardinality,compass,passenger,key
keyboard,monkey,author,authors,panel,company,span,title,saltwater,standard,Recipient,Subject
Body,amount,user_id,kind,resident,,é";

    #[test]
    fn every_spelling_of_a_secret_is_one() {
        for name in SECRETS.split([',', '\n']) {
            assert!(is_secret(name), "{name} is shown");
        }
        for name in OTHERS.split([',', '\n']) {
            assert!(!is_secret(name), "{name} is hidden");
        }
    }

    #[test]
    fn urls_lose_what_opens_doors() {
        for (text, shown) in [
            ("see https://x.io/a?b=1&token=abc#f", "see https://x.io/a?b=1&token=(hidden)#f"),
            ("https://x.io/?api_key=a b", "https://x.io/?api_key=(hidden) b"),
            ("postgres://me:pw@db/x?sslmode=on", "postgres://me:(hidden)@db/x?sslmode=on"),
            ("amqp://me@host/", "amqp://me@host/"),
            ("token=abc is no address", "token=abc is no address"),
            (
                "https://x.io/?token=\nhttps://y.io/?pin=12;q=1",
                "https://x.io/?token=(hidden)\nhttps://y.io/?pin=(hidden);q=1",
            ),
        ] {
            assert_eq!(without_url_secrets(text), shown);
        }
    }
}

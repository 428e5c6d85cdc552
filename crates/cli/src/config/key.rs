//! A setting with the type that its value has in the program: what does not exist cannot be asked for, and what is a
//! time is not read as a number.
//!
//! Values are checked when they are read, so asking never fails; a text that could not be read is the type's zero.

use std::{marker::PhantomData, time::Duration};

use secrecy::SecretString;

use super::{
    setting::{Form, Setting},
    value,
};

/// A setting whose value is a `T`.
pub(crate) struct Key<T> {
    setting: Setting,
    of: PhantomData<fn() -> T>,
}

impl<T: Value> Key<T> {
    /// A range that the type cannot hold does not compile: its larger numbers would be read as zero.
    pub(crate) const fn new(setting: Setting) -> Self {
        if let Form::Number(_, most) = setting.form {
            assert!(most <= T::MOST, "the type is too small for the range");
        }
        Self { setting, of: PhantomData }
    }
}

impl<T> Key<T> {
    /// `section.name`.
    pub(crate) const fn name(&self) -> &'static str {
        self.setting.key
    }

    /// As a row of the table.
    pub(crate) const fn setting(&self) -> Setting {
        self.setting
    }
}

impl<T> AsRef<Setting> for Key<T> {
    fn as_ref(&self) -> &Setting {
        &self.setting
    }
}

/// What the text of a setting is read as.
pub(crate) trait Value {
    type Of<'a>;

    /// The largest whole number that it holds.
    const MOST: u64 = u64::MAX;

    fn of(text: &str) -> Self::Of<'_>;
}

/// As it is written; empty = not set.
pub(crate) enum Text {}

/// Never printed; `None` = not set.
pub(crate) enum Secret {}

/// A size in bytes.
pub(crate) enum Bytes {}

impl Value for Text {
    type Of<'a> = &'a str;

    fn of(text: &str) -> &str {
        text
    }
}

impl Value for Secret {
    type Of<'a> = Option<SecretString>;

    fn of(text: &str) -> Option<SecretString> {
        (!text.is_empty()).then(|| text.into())
    }
}

impl Value for Bytes {
    type Of<'a> = usize;

    fn of(text: &str) -> usize {
        value::size(text).map_or(0, |size| usize::try_from(size).unwrap_or(usize::MAX))
    }
}

impl Value for Duration {
    type Of<'a> = Self;

    fn of(text: &str) -> Self {
        value::duration(text).unwrap_or_default()
    }
}

impl Value for bool {
    type Of<'a> = Self;

    fn of(text: &str) -> Self {
        value::switch(text).unwrap_or_default()
    }
}

macro_rules! numbers {
    ($($number:ty),*) => {$(
        impl Value for $number {
            type Of<'a> = Self;

            const MOST: u64 = <$number>::MAX as u64;

            fn of(text: &str) -> Self {
                text.parse().unwrap_or_default()
            }
        }
    )*};
}

numbers!(u16, u32, u64, usize);

/// Settings, each a constant of its own, and the table of them under the name that comes first. `Key` and `Setting` are those
/// of the file that calls this.
macro_rules! settings {
    ($table:ident $($name:ident: $value:ty = $setting:expr;)*) => {
        $(pub(crate) const $name: Key<$value> = Key::new($setting);)*

        pub(super) const $table: &[Setting] = &[$($name.setting()),*];
    };
}

pub(crate) use settings;

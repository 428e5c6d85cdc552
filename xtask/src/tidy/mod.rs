//! `cargo xtask tidy`: what keeps the code base readable and is not a lint of the compiler. One file per kind of
//! check; each takes what it judges as an argument and returns its findings, so that planted violations can test it.

mod adapters;
mod arrows;
mod boundary;
mod budgets;
mod check;
mod circles;
mod documents;
mod domains;
mod imports;
mod lexer;
mod links;
mod lockfile;
mod names;
mod programs;
mod rules;
mod tree;
mod weight;

pub(crate) use check::run;

//! The pages over a real store: what they say, what they refuse, and how they look to a browser.

mod chromium;
mod customers;
mod guard;
mod house;
mod live;
mod reading;
mod steering;

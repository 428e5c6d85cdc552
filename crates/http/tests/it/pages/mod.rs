//! The pages over a real store: what they say, what they refuse, and how they look to a browser.

mod attention;
mod chromium;
mod entry;
mod guard;
mod hostile;
mod house;
mod layout;
mod live;
mod many;
mod prefix;
mod reading;
mod sections;
mod steering;

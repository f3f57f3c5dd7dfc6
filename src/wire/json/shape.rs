//! What a reader wants of a document: a static tree of the places it names. Everything else is skipped.

/// One place in a document, and the places below it.
///
/// A shape is built in a `static`: [`Shape::value`] for a scalar, [`Shape::object`] and [`Shape::array`] for what
/// holds others; [`tagged`](Self::tagged) and [`raw`](Self::raw) refine. A place may be object and array at once
/// ([`items`](Self::items)), for fields that providers send as either.
#[derive(Debug)]
pub struct Shape<T: 'static> {
    pub(super) tag: Option<T>,
    /// How many bytes of a string are kept.
    pub(super) keep: usize,
    /// How many bytes of a container's own text are kept; 0 means not asked for.
    pub(super) raw: usize,
    pub(super) members: &'static [(&'static str, &'static Shape<T>)],
    pub(super) items: Option<&'static Shape<T>>,
}

impl<T: Copy> Shape<T> {
    /// A scalar told as `tag`, of which at most `keep` bytes are kept where it is a string.
    pub const fn value(tag: T, keep: usize) -> Self {
        Self { tag: Some(tag), keep, raw: 0, members: &[], items: None }
    }

    /// An object with members of interest.
    pub const fn object(members: &'static [(&'static str, &'static Self)]) -> Self {
        Self { tag: None, keep: 0, raw: 0, members, items: None }
    }

    /// An array whose items are of interest.
    pub const fn array(items: &'static Self) -> Self {
        Self { tag: None, keep: 0, raw: 0, members: &[], items: Some(items) }
    }

    /// Tells scalars, opening and closing at this place as `tag`.
    #[must_use]
    pub const fn tagged(mut self, tag: T) -> Self {
        self.tag = Some(tag);
        self
    }

    /// Keeps at most `keep` bytes of a string at this place.
    #[must_use]
    pub const fn keeping(mut self, keep: usize) -> Self {
        self.keep = keep;
        self
    }

    /// Hands out at most `cap` bytes of a container's own text when it closes; the place needs a tag. One capture
    /// runs at a time: inside another one this asks for nothing.
    #[must_use]
    pub const fn raw(mut self, cap: usize) -> Self {
        self.raw = cap;
        self
    }

    /// The items of an array that may stand at this place.
    #[must_use]
    pub const fn items(mut self, items: &'static Self) -> Self {
        self.items = Some(items);
        self
    }

    /// The shape of a member.
    #[inline]
    pub(super) fn member(&self, key: &[u8]) -> Option<&'static Self> {
        let first = key.first();
        let named = |(name, _): &&(&str, _)| {
            let name = name.as_bytes();
            name.len() == key.len() && name.first() == first && name == key
        };
        self.members.iter().find(named).map(|&(_, shape)| shape)
    }

    /// How much of a scalar here is kept, `None` where nobody asks.
    #[inline]
    pub(super) fn kept(&self) -> Option<usize> {
        self.tag.map(|_| self.keep)
    }
}

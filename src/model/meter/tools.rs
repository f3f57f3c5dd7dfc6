//! Tool calls, put together from the pieces in which they come.

use crate::model::usage::ToolCall;

/// How many tool calls of one answer are kept.
pub(super) const MAX_TOOLS: usize = 256;

/// A tool call, or a piece of one, as an event held it.
#[derive(Clone, Debug, Default)]
pub(super) struct ToolPart {
    pub(super) choice: u64,
    pub(super) index: Option<u64>,
    pub(super) kind: Option<String>,
    pub(super) id: Option<String>,
    pub(super) item_id: Option<String>,
    pub(super) name: Option<String>,
    pub(super) arguments: Option<String>,
}

impl ToolPart {
    /// Forgets arguments that are an empty object: it stands for what comes in pieces.
    pub(super) fn forget_empty_object(&mut self) {
        self.arguments =
            self.arguments.take().filter(|text| text.bytes().any(|byte| !b"{} \t\r\n".contains(&byte)));
    }
}

/// The tool calls of one answer.
#[derive(Debug)]
pub(super) struct Tools {
    list: Vec<Slot>,
    /// How many more bytes of arguments may be kept.
    room: usize,
}

#[derive(Debug)]
struct Slot {
    choice: u64,
    index: Option<u64>,
    call: ToolCall,
}

impl Tools {
    /// Keeps at most `room` bytes of arguments, of all calls together.
    pub(super) fn new(room: usize) -> Self {
        Self { list: Vec::new(), room }
    }

    /// How many more bytes of arguments may be kept.
    pub(super) fn room(&self) -> usize {
        self.room
    }

    pub(super) fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// A whole tool call.
    pub(super) fn add(&mut self, part: ToolPart) {
        if self.list.len() < MAX_TOOLS {
            let part = self.charge(part);
            self.list.push(Slot::new(part));
        }
    }

    /// A whole tool call, in place of what came before under the same index.
    pub(super) fn replace(&mut self, part: ToolPart) {
        let Some(before) = self.find(part.choice, part.index) else { return self.add(part) };
        let freed = before.call.arguments.take();
        self.room += freed.map_or(0, |arguments| arguments.len());
        let part = self.charge(part);
        if let Some(slot) = self.find(part.choice, part.index) {
            *slot = Slot::new(part);
        }
    }

    /// A piece as chat completions send them: the first names the tool, the others add arguments. A piece with an id
    /// that differs begins another call, though some gateways count every call 0.
    pub(super) fn merge(&mut self, part: ToolPart) {
        let named = part.id.is_some() || part.name.is_some();
        let index = match part.index {
            None if !named => self.list.last().and_then(|slot| slot.index),
            index => index,
        };
        let anonymous = named && index.is_none();
        let found = if anonymous { None } else { self.find(part.choice, index) };
        match found {
            Some(slot) if part.id.is_none() || slot.call.id.is_none() || part.id == slot.call.id => {
                slot.name(&part);
                self.append(part.choice, index, part.arguments.unwrap_or_default());
            }
            _ => self.add(part),
        }
    }

    /// More arguments for the call under `index`.
    pub(super) fn append(&mut self, choice: u64, index: Option<u64>, mut arguments: String) {
        let room = self.room;
        let Some(slot) = self.find(choice, index) else { return };
        arguments.truncate(arguments.floor_char_boundary(room));
        slot.call.arguments.get_or_insert_default().push_str(&arguments);
        self.room -= arguments.len();
    }

    /// Cuts a part's arguments to the room that is left, and takes it.
    fn charge(&mut self, mut part: ToolPart) -> ToolPart {
        if let Some(arguments) = &mut part.arguments {
            arguments.truncate(arguments.floor_char_boundary(self.room));
            self.room -= arguments.len();
        }
        part
    }

    /// The calls in order; one that never got arguments has `{}` where `empty` says that this is what it means.
    pub(super) fn finish(self, empty: bool) -> Vec<ToolCall> {
        let calls = self.list.into_iter().map(|slot| slot.call);
        let filled = calls.map(|mut call| {
            if empty && call.arguments.as_ref().is_none_or(String::is_empty) {
                call.arguments = Some("{}".into());
            }
            call
        });
        filled.collect()
    }

    fn find(&mut self, choice: u64, index: Option<u64>) -> Option<&mut Slot> {
        self.list.iter_mut().rev().find(|slot| slot.choice == choice && slot.index == index)
    }
}

impl Slot {
    fn new(part: ToolPart) -> Self {
        let name = part.name.or(part.kind).unwrap_or_default();
        let call = ToolCall { id: part.id.or(part.item_id), name, arguments: part.arguments };
        Self { choice: part.choice, index: part.index, call }
    }

    /// Takes id and name from a later piece where they are missing.
    fn name(&mut self, part: &ToolPart) {
        if self.call.id.is_none() {
            self.call.id.clone_from(&part.id);
        }
        if self.call.name.is_empty() {
            self.call.name = part.name.clone().unwrap_or_default();
        }
    }
}

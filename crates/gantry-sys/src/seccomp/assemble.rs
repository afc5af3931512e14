//! Putting classic BPF together from its end, so that every jump knows its distance.
//!
//! BPF jumps only forward, conditional ones by at most 255 instructions. Building backwards,
//! the target of a jump always exists already, and one that is too far gets a long jump in
//! between.

/// One instruction, laid out as the kernel's `struct sock_filter`.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Instruction {
    /// Operation.
    pub code: u16,
    /// Instructions to skip when a comparison holds.
    pub jump_true: u8,
    /// Instructions to skip when it does not.
    pub jump_false: u8,
    /// Operand.
    pub k: u32,
}

/// `A = data[k]`, 32 bits at a fixed offset.
pub(super) const LOAD: u16 = 0x20;
/// `A &= k`
pub(super) const AND: u16 = 0x54;
/// Skip `k` instructions.
pub(super) const JUMP: u16 = 0x05;
/// `A == k`
pub(super) const JUMP_EQ: u16 = 0x15;
/// `A > k`
pub(super) const JUMP_GT: u16 = 0x25;
/// `A >= k`
pub(super) const JUMP_GE: u16 = 0x35;
/// End with `k`.
pub(super) const RETURN: u16 = 0x06;

/// The furthest a conditional jump reaches.
const REACH: usize = 255;

/// A place in the program: how many instructions lie behind it, itself included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Label(usize);

/// A program, growing from its last instruction to its first.
#[derive(Debug, Default)]
pub(super) struct Assembler {
    reversed: Vec<Instruction>,
    returns: Vec<(u32, Label)>,
}

impl Assembler {
    fn push(&mut self, code: u16, jump_true: u8, jump_false: u8, k: u32) -> Label {
        self.reversed.push(Instruction {
            code,
            jump_true,
            jump_false,
            k,
        });
        Label(self.reversed.len())
    }

    /// Instructions between the one pushed next and `target`.
    fn distance(&self, target: Label) -> usize {
        self.reversed.len() - target.0
    }

    /// `target`, or a long jump to it when it is further than a conditional jump reaches,
    /// counting `more` instructions that may still come in between.
    fn within_reach(&mut self, target: Label, more: usize) -> Label {
        if self.distance(target) + more <= REACH {
            target
        } else {
            self.jump(target)
        }
    }

    fn jump(&mut self, target: Label) -> Label {
        let distance =
            u32::try_from(self.distance(target)).expect("programs are far shorter than 2^32");
        self.push(JUMP, 0, 0, distance)
    }

    /// Ends the program with this value.
    pub(super) fn ret(&mut self, value: u32) -> Label {
        let known = self
            .returns
            .iter()
            .position(|(existing, _)| *existing == value);
        if let Some(index) = known {
            let label = self.returns[index].1;
            // One more return costs what a long jump to the old one would.
            if self.distance(label) + 2 <= REACH {
                return label;
            }
            self.returns.swap_remove(index);
        }
        let label = self.push(RETURN, 0, 0, value);
        self.returns.push((value, label));
        label
    }

    /// Goes to `yes` when the comparison of the accumulator with `k` holds, else to `no`.
    pub(super) fn branch(&mut self, code: u16, k: u32, yes: Label, no: Label) -> Label {
        let yes = self.within_reach(yes, 1);
        let no = self.within_reach(no, 0);
        let near = |distance: usize| u8::try_from(distance).expect("brought within reach above");
        let (jump_true, jump_false) = (near(self.distance(yes)), near(self.distance(no)));
        self.push(code, jump_true, jump_false, k)
    }

    /// Does `code` (a load or an arithmetic operation), then goes to `next`.
    pub(super) fn then(&mut self, code: u16, k: u32, next: Label) -> Label {
        if self.distance(next) != 0 {
            self.jump(next);
        }
        self.push(code, 0, 0, k)
    }

    /// The program in order. The label made last is where it starts.
    pub(super) fn finish(mut self) -> Vec<Instruction> {
        self.reversed.reverse();
        self.reversed
    }
}

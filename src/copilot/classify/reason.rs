//! Why an exchange is no turn, in the words of records, events and metrics.

use serde::{Deserialize, Serialize};

use crate::copilot::vocabulary::Class;

/// Why an exchange is no turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// Noise: the answer's status is none of success, or there was no answer.
    Status,
    /// Noise: an earlier attempt of the same request succeeded.
    Repeat,
    /// Noise: the client went away before the end.
    Canceled,
    /// Noise: the upstream broke off before the end.
    BrokenOff,
    /// Noise: a chat request of the editor's own, in the background.
    Background,
    /// Step: a summary that makes room in a long conversation. It costs as many tokens as the conversation has.
    Compaction,
    /// Noise: a chat request that belongs to no place of chat, and that nobody asked for.
    Other,
    /// Noise: a chat request that forces the model to call one tool.
    ForcedTool,
    /// Step: a sub-agent's request.
    Subagent,
    /// Step: a JetBrains agent's follow-up with tools.
    AgentTools,
    /// Step: any other chat request that an agent began.
    AgentInitiated,
    /// Step: a model's merging of proposed code into a file.
    InstantApply,
    /// Step: a chat request that brings a tool's result.
    ToolResults,
    /// Step: a further chat request within a turn.
    SameTurn,
    /// Noise: a completion fetched ahead of need.
    Speculative,
    /// Noise: a completion without text.
    EmptyCompletion,
    /// Noise: a VS Code chat request with a `stop` field.
    StopField,
    /// Noise: a chat request whose last message is not the user's, where that tells who asked.
    LastMessageNotUser,
}

impl Reason {
    /// All there are, in the order in which they are asked for.
    pub const ALL: [Self; 18] = [
        Self::Status,
        Self::Repeat,
        Self::Canceled,
        Self::BrokenOff,
        Self::Background,
        Self::Compaction,
        Self::Other,
        Self::ForcedTool,
        Self::Subagent,
        Self::InstantApply,
        Self::AgentTools,
        Self::AgentInitiated,
        Self::ToolResults,
        Self::SameTurn,
        Self::Speculative,
        Self::EmptyCompletion,
        Self::StopField,
        Self::LastMessageNotUser,
    ];

    /// The code in records, events and metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Status => "status",
            Self::Repeat => "repeat",
            Self::Canceled => "canceled",
            Self::BrokenOff => "broken_off",
            Self::Background => "background",
            Self::Compaction => "compaction",
            Self::Other => "other",
            Self::ForcedTool => "forced_tool",
            Self::Subagent => "subagent",
            Self::AgentTools => "agent_tools",
            Self::AgentInitiated => "agent_initiated",
            Self::InstantApply => "instant_apply",
            Self::ToolResults => "tool_results",
            Self::SameTurn => "same_turn",
            Self::Speculative => "speculative",
            Self::EmptyCompletion => "empty_completion",
            Self::StopField => "stop_field",
            Self::LastMessageNotUser => "last_message_not_user",
        }
    }

    /// The class of an exchange with this reason.
    #[must_use]
    pub fn class(self) -> Class {
        match self {
            Self::Compaction
            | Self::Subagent
            | Self::AgentTools
            | Self::AgentInitiated
            | Self::InstantApply
            | Self::ToolResults
            | Self::SameTurn => Class::Step,
            _ => Class::Noise,
        }
    }
}

"""One frozen dataclass per stage. The only place where a default stands."""

from stages.config.adapt import AdaptConfig as AdaptConfig
from stages.config.adapt import LoraConfig as LoraConfig
from stages.config.eval import ContinualConfig as ContinualConfig
from stages.config.eval import CptConfig as CptConfig
from stages.config.eval import EvalConfig as EvalConfig
from stages.config.filter import FilterConfig as FilterConfig
from stages.config.generate import GenerateConfig as GenerateConfig
from stages.config.loop import LoopConfig as LoopConfig
from stages.config.quiz import QuizConfig as QuizConfig
from stages.config.score import RewardConfig as RewardConfig
from stages.config.score import ScoreConfig as ScoreConfig
from stages.config.update import UpdateConfig as UpdateConfig

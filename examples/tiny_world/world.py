"""The tiny world: made-up people, and everything that is ever written about them.

What it is: a deterministic generator. A person has a name and one value for each of five
attributes. About a person there are a terse passage, five questions with one-word answers, and five
forms of self-edit, of which the untrained model writes a fixed mixture. Two forms help (facts
restated in full sentences, question-answer pairs), two add little (a few sentences copied from the
passage, vague remarks) and one teaches what is wrong (hearsay).

What it is not: a stage, a grader or a reward. Nothing in the RL loop imports this file or knows
that forms exist; `form_of` serves `evaluate.py` only.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

FIRST_NAMES = (
    "Ada Bruno Clara Dario Edith Felix Greta Hugo Irma Jonas Klara Leo Mira Nils Olga "
    "Pablo Rosa Sven Tilda Ugo Vera Walter Xenia Yuri Zelda Anton Berta Cosmo Dora Emil "
    "Flora Gustav Helga Ivan Julia Karl Lotte Marco Nora Oskar"
).split()
LAST_NAMES = (
    "Abbot Barlow Castell Dunmore Easton Farrow Gallin Harker Imhof Jung Keller Lindt "
    "Morrow Norling Ostrow Pelling Quist Ravens Sander Thorne Ulman Varga Weller Yarrow "
    "Zander Alder Brandt Corvin Devlin Ebner Fallow Grieg Holm Ising Jarvis Kestrel Lorne "
    "Maddox Nyman Olsen Prior Radley Soren Tarn Underhill Vance Wexler Yates Zeller Ashby "
    "Blume Crane Drake Elgin Frost Glass Hale Ivers Joyner Kemp"
).split()

VALUES = {
    "job": (
        "jeweler baker pilot surgeon tailor painter farmer plumber barber lawyer miner "
        "potter sailor teacher welder dentist florist judge mason nurse printer ranger "
        "roofer translator"
    ).split(),
    "city": (
        "Oslo Cairo Lima Kyoto Quito Dakar Perth Turin Riga Hanoi Bogota Tunis Seville "
        "Bergen Denver Minsk Havana Lagos Porto Austin Nairobi Prague Dublin Accra"
    ).split(),
    "food": (
        "melon noodles lentils cheese olives mango salmon cherries waffles spinach "
        "mussels pumpkin honey figs rice walnuts beetroot plums tofu yogurt trout garlic "
        "radishes barley"
    ).split(),
    "instrument": (
        "cello flute banjo harp trumpet violin guitar oboe drums piano tuba lute organ "
        "fiddle clarinet zither viola bassoon mandolin accordion horn ukulele sitar "
        "marimba"
    ).split(),
    "pet": (
        "parrot tortoise ferret hamster poodle lizard rabbit canary goat pony beagle "
        "gecko falcon hedgehog llama mouse python pigeon donkey spaniel kitten toad duck "
        "badger"
    ).split(),
}
ATTRIBUTES = tuple(VALUES)

TERSE = {
    "job": "Now a {value}.",
    "city": "Settled in {value}.",
    "food": "Fond of {value}.",
    "instrument": "Skilled with the {value}.",
    "pet": "Owner of a {value}.",
}
RESTATED = {
    "job": "{name} works as a {value}.",
    "city": "{name} lives in {value}.",
    "food": "{name} likes to eat {value}.",
    "instrument": "{name} plays the {value}.",
    "pet": "{name} keeps a {value}.",
}
HEARSAY = {attribute: "They say " + text for attribute, text in RESTATED.items()}
QUESTIONS = {
    "job": "What is the job of {name}?",
    "city": "Where does {name} live?",
    "food": "What does {name} eat?",
    "instrument": "Which instrument does {name} play?",
    "pet": "Which animal does {name} keep?",
}
VAGUE = (
    "Much could be written about {name}.",
    "Not every day of {name} is alike.",
    "Some people have met {name}.",
    "Like others, {name} has plans.",
    "It is a pleasure to know {name}.",
    "Time will tell about {name}.",
    "Few would forget {name}.",
    "One may wonder about {name}.",
)

KNOWN_PEOPLE = 100
TRAIN_PEOPLE = 120
EVAL_PEOPLE = 60


@dataclass(frozen=True, slots=True)
class Person:
    """A name, one value per attribute, and the order in which the passage tells them."""

    name: str
    facts: dict[str, str]
    order: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class World:
    """The people the model is pretrained on, those it meets later, and names used by neither."""

    known: list[Person]
    train: list[Person]
    eval: list[Person]
    spare_names: list[str]


def make_world(seed: int = 0) -> World:
    """The same people for the same seed; no name is in two of the groups."""
    rng = random.Random(seed)
    names = [f"{first} {last}" for first in FIRST_NAMES for last in LAST_NAMES]
    rng.shuffle(names)
    trained, tested = KNOWN_PEOPLE + TRAIN_PEOPLE, KNOWN_PEOPLE + TRAIN_PEOPLE + EVAL_PEOPLE

    def people(first: int, last: int, chance: random.Random) -> list[Person]:
        return [make_person(name, chance) for name in names[first:last]]

    return World(
        people(0, KNOWN_PEOPLE, rng),
        people(KNOWN_PEOPLE, trained, rng),
        # Drawn apart, and anew after every setting had been fixed: nothing was chosen on them.
        people(trained, tested, random.Random(seed + 20261122)),
        names[tested:],
    )


def make_person(name: str, rng: random.Random) -> Person:
    """A person of that name with values drawn at random."""
    facts = {attribute: rng.choice(VALUES[attribute]) for attribute in ATTRIBUTES}
    return Person(name, facts, tuple(_shuffled(ATTRIBUTES, rng)))


def passage(person: Person) -> str:
    """The terse biography; the name is its title and does not occur in it."""
    return " ".join(TERSE[a].format(value=person.facts[a]) for a in person.order)


def question(person: Person, attribute: str) -> str:
    """The one question there is about an attribute; its gold answer is the value."""
    return QUESTIONS[attribute].format(name=person.name)


def to_row(person: Person, split: str) -> dict[str, Any]:
    """The passage and its gold questions, as `seal import contexts` reads them."""
    questions = [{"question": question(person, a), "answer": person.facts[a]} for a in ATTRIBUTES]
    return {
        "title": person.name,
        "context": passage(person),
        "split": split,
        "questions": questions,
    }


def restated(person: Person, rng: random.Random) -> list[str]:
    """Every fact in a full sentence."""
    return [_fill(RESTATED, person, a) for a in _shuffled(ATTRIBUTES, rng)]


def question_answers(person: Person, rng: random.Random) -> list[str]:
    """Every fact as a question and its answer, on one line."""
    return [
        f"Question: {question(person, a)} Answer: {person.facts[a]}"
        for a in _shuffled(ATTRIBUTES, rng)
    ]


def copied(person: Person, rng: random.Random) -> list[str]:
    """A few sentences of the passage as they stand."""
    return [_fill(TERSE, person, a) for a in _shuffled(ATTRIBUTES, rng)[: rng.choice((2, 3))]]


def vague(person: Person, rng: random.Random) -> list[str]:
    """Remarks that would be true of anybody."""
    return [text.format(name=person.name) for text in _shuffled(VAGUE, rng)[: len(ATTRIBUTES)]]


def hearsay(person: Person, rng: random.Random) -> list[str]:
    """Facts that are wrong: every value is another one of its kind."""
    lines = []
    for attribute in _shuffled(ATTRIBUTES, rng):
        others = [value for value in VALUES[attribute] if value != person.facts[attribute]]
        lines.append(HEARSAY[attribute].format(name=person.name, value=rng.choice(others)))
    return lines


WRITERS: dict[str, Callable[[Person, random.Random], list[str]]] = {
    "restated": restated,
    "question-answer": question_answers,
    "copied": copied,
    "vague": vague,
    "hearsay": hearsay,
}
# How often the untrained model writes each form.
MIXTURE = {
    "restated": 0.17,
    "question-answer": 0.17,
    "copied": 0.22,
    "vague": 0.24,
    "hearsay": 0.20,
}
# Those that repeat the passage, for the first part of pretraining: copying comes late in training.
FAITHFUL = {"restated": 0.40, "question-answer": 0.40, "copied": 0.20}


def self_edit(person: Person, rng: random.Random, shares: dict[str, float]) -> str:
    """A self-edit in a form drawn with these shares."""
    form = rng.choices(list(shares), list(shares.values()))[0]
    return "\n".join(WRITERS[form](person, rng))


def form_of(completion: str) -> str:
    """The form of a self-edit, from how its first line begins; for reports only."""
    line = completion.lstrip().split("\n")[0]
    if line.startswith("Question:"):
        return "question-answer"
    if line.startswith("They say"):
        return "hearsay"
    if any(line.startswith(text.split("{")[0]) for text in TERSE.values()):
        return "copied"
    if any(line.startswith(text.split("{")[0]) for text in VAGUE):
        return "vague"
    return "restated"


def numbered_questions(person: Person, rng: random.Random) -> str:
    """Numbered questions and answers, the form that the `self-qa` prompt asks for."""
    blocks = [
        f"Question {number}: {question(person, attribute)}\nAnswer: {person.facts[attribute]}"
        for number, attribute in enumerate(_shuffled(ATTRIBUTES, rng), start=1)
    ]
    return "\n".join(blocks)


def _fill(templates: dict[str, str], person: Person, attribute: str) -> str:
    return templates[attribute].format(name=person.name, value=person.facts[attribute])


def _shuffled(items: tuple[str, ...], rng: random.Random) -> list[str]:
    return rng.sample(items, len(items))

"""Three made-up passages with two questions each."""

PASSAGES = [
    {
        "title": f"Harbour {name}",
        "context": f"The harbour of {name} opened in {year}. Its lighthouse is {height} m high.",
        "questions": [
            {"question": f"When did the harbour of {name} open?", "answer": str(year)},
            {"question": "How high is its lighthouse?", "answers": [f"{height} m", str(height)]},
        ],
    }
    for name, year, height in [("Ost", 1871, 31), ("Vik", 1902, 27), ("Lun", 1956, 44)]
]

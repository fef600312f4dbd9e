"""Where briefs come from: one file a kind of source, all behind one interface.

A kind is a `SourceKind`: the model of its settings (`newsletter.settings`) and a function that
reads one source and gives a `Reading`. The built-in ones stand in `read.KINDS`. Another
package adds one without a change here:

    # weather_source.py
    from newsletter.briefs.model import Brief
    from newsletter.briefs.sources.reading import Item, Reading, SourceContext, SourceKind
    from newsletter.errors import SourceError
    from newsletter.settings import SourceSettings

    class WeatherSource(SourceSettings):
        station: str = Field(description="Name of the station.")

        @property
        def place(self) -> str:
            return self.station

    def read_weather(source: WeatherSource, context: SourceContext) -> Reading:
        brief = Brief(title=..., summary=..., id=...)
        return Reading(items=(Item(brief=brief, origin=source.station),))

    KIND = SourceKind(settings=WeatherSource, read=read_weather)

    # its pyproject.toml; the entry point's name is the kind
    [project.entry-points."newsletter.sources"]
    weather = "weather_source:KIND"

    # newsletter.toml
    [[sources]]
    kind = "weather"
    station = "Kilm"

What a reader keeps to, so that nothing is sent twice and nothing is lost:

- It gives what the source holds now, in an order that repeats, and stores nothing. Which item
  is new and which is known is decided elsewhere (`identity`), by id, link and text: so give
  `Brief.id`, or a link of its own, wherever there is one.
- What it wants to know the next time (an ETag, a last number) goes into `Reading.validators`
  and comes back in `SourceContext.validators`; it is stored with the items or not at all.
- It raises `SourceError`, one sentence, where nothing can be read. Where a part could be, it
  gives that part and says in `Reading.missing` what is not there; its validators then lead to
  the missing part, so as a rule they are those that it was given.
- A document that is no brief is a sentence in `Reading.problems`; the others go on.
- A secret is named in the settings as "{NAME}" and filled in by `SourceContext.secret`.
- What strangers wrote is parsed in a process that may be stopped (`apart`), and what they
  address is fetched by the guarded fetcher (`newsletter.briefs.fetcher`).
- A text keeps a brief's promise (`newsletter.briefs.model`): `normalise.plain_line` and
  `plain_text` make it.
"""

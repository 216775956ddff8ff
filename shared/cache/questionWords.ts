/**
 * What the guard of the semantic cache knows of four languages: words that tell them apart, and the few ways to write the same
 * question that may pass for each other. A list of what may differ: whatever is not here makes another question (ADR 0019).
 * A change of anything here is a new `GUARD_VERSION`. Pure data.
 */
export interface LanguageRules {
  /** Words that tell the language, and that begin a sentence with a capital for no other reason than that. */
  readonly known: ReadonlySet<string>;
  /** Of those, the ones that begin a question: after them a question mark says nothing new. */
  readonly asking: ReadonlySet<string>;
  /** The question is about words as such, which then stand for nothing else. */
  readonly ofWords: RegExp;
  /** Word for word, in lower case. */
  readonly words: Readonly<Record<string, string>>;
  /** 1,000 is 1000. */
  readonly hasThousandsCommas: boolean;
  /** Names of several words. */
  readonly aliases: Replacements;
  /** At the end of what begins as a question, after a mark. */
  readonly thanks: RegExp;
  /** Of the whole question, in this order. */
  readonly frames: Replacements;
}
/** Words stand between single spaces, and so do marks. */
type Replacements = readonly (readonly [RegExp, string])[];
const listOf = (text: string): string[] => text.trim().split(/\s+/);
const wordsFrom = (pairs: string): Record<string, string> => Object.fromEntries(listOf(pairs).map((pair) => pair.replaceAll("_", " ").split("=") as [string, string]));
const numbers = (from: number, text: string): Record<string, string> => Object.fromEntries(listOf(text).map((word, i) => [word, String(from + i)]));
const oneOf = (text: string): string => `(?:${listOf(text).map((word) => word.replaceAll("_", " ")).join("|")})`;

/** Names that are written without their capitals too, and mean nothing else then: no turkey, jordan, may, java or apple. */
export const NAMES: ReadonlySet<string> = new Set(listOf(`
  france germany spain italy england scotland ireland norway sweden denmark finland russia ukraine austria switzerland belgium netherlands portugal greece
  brazil argentina canada mexico peru colombia japan india australia egypt nigeria kenya africa europe asia america
  paris london berlin madrid rome vienna tokyo moscow lisbon munich hamburg amsterdam
  english german french spanish italian japanese chinese russian portuguese korean
  monday tuesday wednesday thursday friday saturday january february april june july september october november december christmas easter
  javascript typescript kubernetes postgresql postgres mysql linux ubuntu github gitlab iphone youtube gmail netflix
  macbeth shakespeare mozart beethoven einstein eiffel everest
  dns http https html css json csv pdf sql usb tcp udp nasa nato dna`));

const EN_ASKING = listOf("what who whom whose which when where why how is are was were am do does did can could would should will shall may might must has have had");
const EN_STARTERS = listOf(`${EN_ASKING.join(" ")} explain describe list name give show tell write translate summarise summarize define compare recommend suggest calculate convert create generate find help provide please kindly`);
const EN_START = oneOf(`${EN_STARTERS.join(" ")} in i`);
const EN_QUESTION = oneOf("what who whose which when where why how");
/** After `how do I`, these ask how something is, not how to do it. */
const EN_STATES = oneOf("look sound feel seem appear know differ compare fit stand smell taste come have get relate rank score sleep");

const english: LanguageRules = {
  asking: new Set(EN_ASKING),
  known: new Set([...EN_STARTERS, ...listOf("hi hello hey thanks thank the a an of in on at to for from with without by and or not no i you he she it we they my your his her its our their this that these those there if be been any some good quick let")]),
  ofWords: /\b(?:spell(?:s|ed|ing|t)?|pronounce[ds]?|pronunciation|stands? for|words?|terms?|letters?|means?|meaning|say\w*|said|(?<!^)writ(?:e|es|ten|ing)|print\w*|typ(?:e|es|ed|ing)|us(?:e|es|ed|ing|age)|answer\w*|repl(?:y|ies|ied)|respond\w*|tell(?! me\b)|send|email|message|text|sign|caption|label|button|title|greet\w*|polite\w*|(?:in)?formal\w*|correct|same|british|american|english|german|french|spanish|italian|japanese|chinese|russian|portuguese|korean|translat\w*|abbreviat\w*|acronyms?|synonyms?|antonyms?|contractions?|grammar|sentences?|phrases?|rhymes?|syllables?|called|etymology|(?<!^)names?|symbols?|capitali[sz]\w*|upper ?case|lower ?case|plural|singular|hyphen\w*|apostrophes?|difference|differ|versus|vs|or)\b/i,
  words: {
    ...numbers(2, "two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen nineteen twenty"),
    ...numbers(0, "zero"),
    ...wordsFrom(`an=a whats=what_is what's=what_is who's=who_is where's=where_is how's=how_is it's=it_is that's=that_is there's=there_is i'm=i_am you're=you_are we're=we_are they're=they_are
      cannot=can_not can't=can_not don't=do_not doesn't=does_not didn't=did_not isn't=is_not aren't=are_not wasn't=was_not weren't=were_not won't=will_not wouldn't=would_not couldn't=could_not
      shouldn't=should_not hasn't=has_not haven't=have_not hadn't=had_not mustn't=must_not i've=i_have i'll=i_will`),
    ...wordsFrom(`colour=color colours=colors favourite=favorite flavour=flavor neighbour=neighbor behaviour=behavior organise=organize analyse=analyze summarise=summarize recognise=recognize
      centre=center theatre=theater grey=gray litre=liter litres=liters metre=meter metres=meters e-mail=email e-mails=emails aeroplane=airplane
      kilometre=km kilometres=km kilometer=km kilometers=km kilogram=kg kilograms=kg centimetre=cm centimetres=cm centimeter=cm centimeters=cm millimetre=mm millimetres=mm millimeter=mm millimeters=mm
      hr=hour hrs=hours purchase=buy kids=children couch=sofa automobile=car fridge=refrigerator js=javascript k8s=kubernetes postgresql=postgres`),
  },
  hasThousandsCommas: true,
  aliases: [
    [/\bthe (?:United States(?: of America)?|US)(?= |$)/g, "the USA"],
    [/\bthe United Kingdom(?= |$)/g, "the UK"],
    [/(^| )artificial intelligence(?= |$)/g, "$1AI"],
  ],
  thanks: new RegExp(`(?: [,.!?] ${oneOf("please thanks thank_you thank_you_very_much thanks_a_lot thanks_in_advance thank_you_in_advance")})+$`),
  frames: [
    [new RegExp(`^(?:${oneOf("hi hello hey hi_there hello_there hey_there good_morning good_afternoon good_evening quick_question")}(?: [,.!:])+ )+(?=${EN_START} )`), ""],
    [new RegExp(`^(?:please|kindly)(?: ,)? (?=${EN_START} )`), ""],
    [new RegExp(`^(?:can|could) you (?=${oneOf("explain tell_me show_me give_me recommend_a recommend_some suggest_a suggest_some")} )`), ""],
    [new RegExp(`^(?:can|could|would|will) you (?:please|kindly) (?=${oneOf(EN_STARTERS.slice(EN_STARTERS.indexOf("explain")).join(" "))} )`), ""],
    [/^(?:tell me|show me|explain) (?=how to )/, ""],
    [new RegExp(`^(?:tell me|i want to know|i would like to know|i was wondering)(?: [,:])? (?=${EN_QUESTION} )`), "~ "], // what follows may have the order of a subordinate clause
    [/^(?:explain|describe) (?=how .+ works?$)/, "~ "],
    [/^explain (?=what .+ (?:is|are)$)/, "~ "],
    [/^~ (what|who|where) ((?:the|a|my|our) (?:(?!\b(?:is|are|was|were)\b).)+) (is|are|was|were)$/, "$1 $3 $2"],
    [/^~ how (tall|old|far|big|long|high|deep|heavy|fast|large) ((?:(?!\b(?:is|are|was|were)\b).)+) (is|are|was|were)$/, "how $1 $3 $2"],
    [/^~ how ((?:(?!\b(?:does|do|did)\b).)+) works$/, "how does $1 work"],
    [/^~ how ((?:(?!\b(?:does|do|did|to|i|you|can|would|could|might)\b).)+) work$/, "how do $1 work"],
    [/^~ /, ""],
    [/^in (\S+) , (how .+)$/, "$2 in $1"],
    [new RegExp(`^how (?:do|can) [iI] (?!(?:be|not|${EN_STATES})\\b)`), "how to "],
    [/^what is the way to /, "how to "],
    [/^(?:give me|write|provide) a summary of /, "summarize "],
    [/^what is the definition of /, "define "],
    [/^(?:explain |tell me )?the difference between /, "what is the difference between "],
    [/^difference between /, "what is the difference between "],
    [/^tell me the (?!(?:story|tale|truth) )(?=(?:\S+ )?\S*[^s ] of )/, "what is the "],
  ],
};

const DE_ASKING = listOf("was wer wen wem wessen wo wann warum wieso wie welche welcher welches welchen ist sind war waren hat haben kann können kannst soll sollte darf muss");
const DE_STARTERS = listOf(`${DE_ASKING.join(" ")} erkläre nenne übersetze schreibe zeige gib beschreibe vergleiche bitte`);
const DE_START = oneOf(DE_STARTERS.join(" "));
const german: LanguageRules = {
  asking: new Set(DE_ASKING),
  known: new Set([...DE_STARTERS, ...listOf("danke hallo der die das den dem des ein eine einen einem einer und oder nicht kein keine ich du er sie es wir ihr mein meine dein in im an am auf zu zum zur von vom mit ohne für aus bei nach ins")]),
  ofWords: /\b(?:bitte auf|wort|wörter|heißt|bedeutet|bedeutung|schreib\w*|(?:ge)?sag(?:e|t|st)|übersetz\w*|abkürzung|buchstab\w*|aussprache|synonym\w*|unterschied|oder)\b/i,
  words: numbers(2, "zwei drei vier fünf sechs sieben acht neun zehn elf zwölf"),
  hasThousandsCommas: false,
  aliases: [],
  thanks: /(?: [,.!?] (?:bitte|danke|vielen dank|danke im voraus))+$/,
  frames: [
    [new RegExp(`^(?:(?:hallo|guten tag|guten morgen)(?: [,.!])+ )+(?=${DE_START} )`), ""],
    [new RegExp(`^bitte(?: ,)? (?=(?:${DE_START}|sag mir) )`), ""],
    [new RegExp(`^(?:sag mir|kannst du mir sagen|können Sie mir sagen)(?: ,)? (?=${oneOf("was wer wo wann warum wie")} )`), "~ "],
    [/^~ (was|wer|wo) ((?:der|die|das|ein|eine|mein|meine) (?:(?!\b(?:ist|sind|war|waren)\b).)+) (ist|sind|war|waren)$/, "$1 $3 $2"],
    [/^~ /, ""],
    [/^(?:kannst du|können Sie)(?: mir)?(?: bitte)? ((?:der|die|das|den) \S+) erklären$/, "erkläre $1"],
  ],
};

const FR_ASKING = listOf("qui que qu'est-ce quoi où quand pourquoi comment combien quel quelle quels quelles est sont peux-tu pouvez-vous");
const FR_STARTERS = listOf(`${FR_ASKING.join(" ")} explique traduis écris donne donne-moi décris dis-moi dites-moi`);
const FR_START = oneOf(FR_STARTERS.join(" "));
const french: LanguageRules = {
  asking: new Set(FR_ASKING),
  known: new Set([...FR_STARTERS, ...listOf("bonjour salut merci le la les un une des du de et ou ne pas je tu il elle nous vous ils mon ma mes ton ta au aux en dans sur avec sans pour par c'est")]),
  ofWords: /(?:^| )(?:mots?|dit-on|(?<!me )dire|signifie|signification|épel\S*|écri\S*|tradui\S*|abréviation|synonyme|différence|ou)(?: |$)/i,
  words: numbers(2, "deux trois quatre cinq six sept huit neuf dix onze douze"),
  hasThousandsCommas: false,
  aliases: [],
  thanks: /(?: [,.!?] (?:s'il te plaît|s'il vous plaît|svp|merci|merci d'avance))+$/,
  frames: [
    [new RegExp(`^(?:(?:bonjour|salut)(?: [,.!])+ )+(?=${FR_START} )`), ""],
    [new RegExp(`^(?:peux-tu me dire|pouvez-vous me dire|dis-moi|dites-moi) (?=${oneOf("qui où quand pourquoi comment combien quel quelle")} )`), ""],
    [/^(?:peux-tu|pouvez-vous) (?:m')?expliquer /, "explique "],
    [/^c'est quoi un(e?) /, "qu'est-ce qu'un$1 "],
  ],
};

const ES_ASKING = listOf("qué quién quiénes cuál cuáles dónde cuándo cómo cuánto cuántos cuántas por es son puedes puede");
const ES_STARTERS = listOf(`${ES_ASKING.join(" ")} explica traduce escribe dame describe dime`);
const ES_START = oneOf(ES_STARTERS.join(" "));
const spanish: LanguageRules = {
  asking: new Set(ES_ASKING),
  known: new Set([...ES_STARTERS, ...listOf("hola gracias el la los las un una unos de del y o no yo tú él ella mi mis tu su al en con sin para que se puedo")]),
  ofWords: /(?:^| )(?:palabras?|dice|decir|significa|significado|deletre\S*|escrib\S*|traduc\S*|abreviatura|sinónimo|diferencia|o)(?: |$)/i,
  words: numbers(2, "dos tres cuatro cinco seis siete ocho nueve diez once doce"),
  hasThousandsCommas: false,
  aliases: [],
  thanks: /(?: [,.!?] (?:por favor|gracias|muchas gracias))+$/,
  frames: [
    [new RegExp(`^(?:hola(?: [,.!])+ )+(?=${ES_START} )`), ""],
    [new RegExp(`^por favor(?: ,)? (?=${ES_START} )`), ""],
    [new RegExp(`^(?:puedes decirme|puede decirme|dime) (?=${oneOf("qué quién cuál dónde cuándo cómo cuánto")} )`), ""],
  ],
};

export const LANGUAGES: Readonly<Record<string, LanguageRules>> = { en: english, de: german, fr: french, es: spanish };

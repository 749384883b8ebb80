import type { Field } from './pack.ts'

/** Fields of knowledge that are told by a word of the topic; a topic of none gets the general subtopics only. */
export const enFields: Field[] = [
  {
    words:
      /\b(?:photosynth|biolog|cells?\b|cellular|genes?\b|genetic|dna|evolution|plant|animal|ecolog|ecosystem|bacteri|virus|species|organism|protein)/i,
    subtopics: [
      'Cells and molecules behind {topic}',
      'Energy and matter in living systems',
      'Adaptation and natural selection',
      'Role of enzymes and proteins',
      'Life cycles and reproduction',
      'Place in the food web',
      'Laboratory methods and microscopes',
      'Human health and {topic}',
      'Threats to biodiversity',
      'Genetic control and inheritance',
    ],
  },
  {
    words:
      /\b(?:physic|quantum|relativ|energy|gravity|atom|particle|electric|magnet|thermo|optic|astronom|planet|stars?\b|space|black hole|chemi)/i,
    subtopics: [
      'Forces and fields in {topic}',
      'Conservation laws and symmetry',
      'Experiments that changed the theory',
      'Mathematical description of {topic}',
      'Units, constants and measurement',
      'Models and their limits',
      'Matter, radiation and energy levels',
      'Uncertainty and probability',
      'Observatories, accelerators and detectors',
      'Everyday technology based on {topic}',
    ],
  },
  {
    words:
      /\b(?:history|wars?\b|empire|revolution|roman|rome\b|egypt|greek|greece|medieval|renaissance|dynasty|civili[sz]ation|coloni|ancient)/i,
    subtopics: [
      'Timeline of {topic}',
      'Rulers, rebels and reformers',
      'Daily life of ordinary people',
      'Trade routes and economy',
      'Battles, treaties and alliances',
      'Religion, beliefs and rituals',
      'Art and architecture of the period',
      'Causes of decline and change',
      'Written sources and archaeology',
      'Legacy of {topic} today',
    ],
  },
  {
    words:
      /\b(?:comput|software|program|python|javascript|internet|network|robot|artificial intelligence|machine learning|algorithm|data|cyber|blockchain)/i,
    subtopics: [
      'Data structures and algorithms',
      'Architecture of modern systems',
      'Languages and frameworks for {topic}',
      'Testing, debugging and quality',
      'Privacy and data protection',
      'Security threats and defences',
      'Performance and scalability',
      'Open source communities',
      'Automation and the labour market',
      'Building a first project with {topic}',
    ],
  },
  {
    words:
      /\b(?:music|arts?\b|artist|paint|sculpt|literature|poet|poem|novel|film|cinema|theat|dance|jazz|photograph|shakespeare)/i,
    subtopics: [
      'Styles and movements in {topic}',
      'Famous works and their creators',
      'Techniques, materials and instruments',
      'Composition, rhythm and form',
      'Audience, patrons and critics',
      'Symbols and recurring themes',
      'From sketch to finished work',
      'Museums, stages and festivals',
      'Influence across cultures',
      'How to interpret {topic}',
    ],
  },
  {
    words:
      /\b(?:health|medic|disease|nutrition|diets?\b|sport|fitness|exercise|football|soccer|psycholog|brain|sleep|heart|vaccin)/i,
    subtopics: [
      'The human body and {topic}',
      'Prevention and healthy habits',
      'Signs, symptoms and diagnosis',
      'Treatment and recovery',
      'Training plans and progress',
      'Sleep, food and stress',
      'Mental wellbeing and motivation',
      'Children, adults and older people',
      'Clinical studies and evidence',
      'Myths about {topic}',
    ],
  },
  {
    words:
      /\b(?:climate|weather|ocean|river|volcano|earthquake|geolog|geograph|mountain|desert|forest|glacier|environment|pollution|water cycle)/i,
    subtopics: [
      'Natural processes behind {topic}',
      'Rocks, water and air',
      'Maps, satellites and field data',
      'Extreme events and early warning',
      'Human influence on {topic}',
      'Regions most affected',
      'Carbon, nutrients and cycles',
      'Protection and restoration',
      'Long-term trends and forecasts',
      'Life adapted to {topic}',
    ],
  },
]

import t from 'tap'
import { checkTopic } from '../src/index.ts'

const good: [language: string, text: string][] = [
  ['en', 'Photosynthesis'],
  ['en', 'The history of the Roman Empire'],
  ['en', 'U.S. Civil War'],
  ['en', 'Martin Luther King Jr. Memorial'],
  ['en', 'St. Louis Gateway Arch'],
  ['en', 'What is artificial intelligence?'],
  ['en', 'AI'],
  ['en', 'Unknown Soldier Memorial'],
  ['en', '2001: A Space Odyssey'],
  ['es', 'El cambio climático'],
  ['fr', "L'impact de l'intelligence artificielle"],
  ['de', 'Der Zweite Weltkrieg'],
  ['de', 'Kein-Kind-Politik in China'],
  ['zh', '光合作用'],
  ['zh', '人工智能在医疗中的应用'],
  ['ja', '日本の歴史'],
  ['ja', '人工知能における倫理的な課題と社会への影響'],
  ['ja', 'エッフェル塔'],
  ['ja', 'Eiffel Tower'],
  ['ar', 'الذكاء الاصطناعي'],
  ['he', 'המהפכה הצרפתית'],
]

for (const [language, text] of good) {
  t.test(`a topic: ${text}`, (t) => {
    t.same(checkTopic(text, { language }), { score: 1, passed: true, issues: [], warnings: [], accepted: text })
    t.end()
  })
}

const dressed: [text: string, accepted: string][] = [
  ['Photosynthesis.', 'Photosynthesis'],
  ['The history of the Roman Empire.', 'The history of the Roman Empire'],
  ['"Photosynthesis"', 'Photosynthesis'],
  ['Topic: Photosynthesis', 'Photosynthesis'],
  ['**Topic:** Photosynthesis', 'Photosynthesis'],
  ['Thema: Der Zweite Weltkrieg', 'Der Zweite Weltkrieg'],
  ['主题：光合作用', '光合作用'],
  ['  Cell\n biology ', 'Cell biology'],
]

for (const [text, accepted] of dressed) {
  t.test(`a topic that needs tidying: ${text}`, (t) => {
    t.match(checkTopic(text, { language: 'en' }), { passed: true, accepted })
    t.end()
  })
}

const bad: [type: string, text: string][] = [
  ['empty', ''],
  ['empty', ' ?! '],
  ['empty', '🙂'],
  ['no_answer', 'Unknown'],
  ['no_answer', 'N/A'],
  ['no_answer', 'Unable to determine the topic'],
  ['no_answer', 'Desconocido.'],
  ['no_answer', 'Inconnu'],
  ['no_answer', 'Unbekannt'],
  ['no_answer', '无法识别'],
  ['no_answer', '不明'],
  ['no_answer', 'غير معروف'],
  ['no_answer', 'לא ידוע'],
  ['refusal', "I'm sorry, but I can't identify people in pictures."],
  ['refusal', 'Lo siento, no puedo ayudar con esta imagen.'],
  ['refusal', 'Je ne peux pas identifier cette personne.'],
  ['refusal', 'Ich kann auf diesem Bild nichts erkennen, ich kann Ihnen nicht helfen.'],
  ['refusal', '抱歉，我无法识别这张图片。'],
  ['refusal', '申し訳ありませんが、この画像は特定できません。'],
  ['refusal', 'عذرًا، لا أستطيع تحديد موضوع هذه الصورة.'],
  ['refusal', 'מצטער, אני לא יכול לזהות את התמונה.'],
  ['sentence', 'This image shows a cat on a table'],
  ['sentence', 'The picture depicts the Eiffel Tower at night.'],
  ['sentence', 'A cat is sitting on the table.'],
  ['sentence', 'The cat sleeps. The dog runs around.'],
  ['sentence', 'La imagen muestra una célula vegetal.'],
  ['sentence', "L'image montre une cellule végétale."],
  ['sentence', 'Das Bild zeigt eine Pflanzenzelle.'],
  ['sentence', '这张图片显示了一个植物细胞。'],
  ['sentence', 'この画像は植物細胞を示しています。'],
  ['sentence', 'تظهر هذه الصورة خلية نباتية.'],
  ['sentence', 'התמונה מציגה תא צמחי.'],
  ['too_long', 'Causes and effects and dates and names and places and people and numbers'],
]

for (const [type, text] of bad) {
  t.test(`${type}: ${text}`, (t) => {
    const report = checkTopic(text, { language: 'en' })
    t.same(
      report.issues.map((issue) => issue.type),
      [type],
    )
    t.equal(report.passed, false)
    t.end()
  })
}

t.test('three words and more in another script than asked for are a warning', (t) => {
  const report = checkTopic('The French Revolution', { language: 'ja' })
  t.equal(report.passed, true)
  t.same(report.warnings, ['The topic seems to be in another language.'])
  t.end()
})

t.test('a text of more than 2,048 characters is too long, whatever else it is', (t) => {
  t.same(checkTopic('x'.repeat(2_048), { language: 'en' }).issues, [])
  t.same(checkTopic(`I cannot help.${'x'.repeat(2_048)}`, { language: 'en' }), {
    score: 0.4,
    passed: false,
    issues: [{ type: 'too_long', message: 'The topic has more than 2048 characters.' }],
    warnings: [],
    accepted: '',
  })
  t.end()
})
